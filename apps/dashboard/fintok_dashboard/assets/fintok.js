// What only a browser knows: its colour scheme, the size of its window, and keys.
(() => {
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    document.body.dataset.agThemeMode = theme;  // of the table of alerts
    return theme;
  };
  const preferred = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.fintok = {
    theme: (clicks, known) => {
      const now = known === "dark" || known === "light" ? known : preferred();
      return apply(clicks ? (now === "dark" ? "light" : "dark") : now);
    },
    keepView: (search, ...hrefs) => hrefs.map((href) => href.split("?")[0] + (search || "")),
    clear: () => "",
    // The address after a control was changed; what is at its default is left out, as in `view.py`.
    follow: (start, end, alarms, group, asset, first, last, search, path) => {
      if (!first) return;  // there is nothing to show yet
      const view = new URLSearchParams(search || ""), known = (name) => view.get(name) || "";
      const put = (name, value) => (value ? view.set(name, value) : view.delete(name));
      const day = (date, end) => (date && date.slice(0, 10) !== end.slice(0, 10) ? date.slice(0, 10) : "");
      const before = view.toString(), isNewAsset = asset && asset !== known("asset");
      if ((group || "") !== known("group")) ["top", "bottom"].forEach((name) => view.delete(name));
      if ((asset || "") !== known("asset")) view.delete("day");
      put("start", day(start, first));
      put("end", day(end, last));
      if (alarms > 0 && alarms <= 500) put("alarms", alarms === 1 ? "" : String(alarms));
      put("group", group);
      put("asset", asset);
      if (view.toString() === before) return;
      const moved = isNewAsset && path !== "/asset" ? {pathname: "/asset"} : {};
      window.dash_clientside.set_props("url", {...moved, search: view.size ? `?${view}` : ""});
    },
    whole: (clicks, search) => {
      if (!clicks) return window.dash_clientside.no_update;
      const view = new URLSearchParams(search || "");
      ["start", "end", "top", "bottom"].forEach((name) => view.delete(name));
      return view.size ? `?${view}` : "";
    },
    arrange: (order, search) => {
      const view = new URLSearchParams(search || "");
      if (!order || order === (view.get("order") || "cluster")) return window.dash_clientside.no_update;
      ["top", "bottom"].forEach((name) => view.delete(name));
      view.set("order", order);
      if (order === "cluster") view.delete("order");
      return view.size ? `?${view}` : "";
    },
  };

  let pending = 0, isAsked = false;
  const tellSize = () => {
    const setProps = window.dash_clientside.set_props;
    if (!setProps || !document.getElementById("page")) return void setTimeout(tellSize, 50);
    setProps("size", {data: {width: window.innerWidth, height: window.innerHeight}});
  };
  window.addEventListener("resize", () => { clearTimeout(pending); pending = setTimeout(tellSize, 200); });
  tellSize();

  document.addEventListener("keydown", (event) => {
    const field = event.target.closest && event.target.closest("input, textarea, select, [contenteditable], .ag-root");
    if (event.ctrlKey || event.metaKey || event.altKey || (field && event.key !== "Escape")) return;
    const ways = document.querySelectorAll("nav .way");
    if (event.key >= "1" && event.key <= String(ways.length)) ways[Number(event.key) - 1].click();
    else if (event.key === "t") document.getElementById("toggle").click();
    else if (event.key === "/") { event.preventDefault(); isAsked = true; }
  });
  // Not before the key is up: an open list takes the slash as text to search for.
  document.addEventListener("keyup", (event) => {
    if (!isAsked || event.key !== "/") return;
    isAsked = false;
    const box = document.getElementById("asset");
    (box.querySelector("button, input") || box).focus();
  });
})();
