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
  };

  let pending = 0;
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
    else if (event.key === "/") { event.preventDefault(); const box = document.getElementById("asset"); (box.querySelector("button, input") || box).focus(); }
  });
})();
