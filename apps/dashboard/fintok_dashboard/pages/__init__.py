"""The pages by their path: each a NAME, a TITLE, `layout(desk, window)` and `register(app, desk)`."""

from fintok_dashboard.pages import alerts, asset, map, regimes, today, vocabulary

PAGES = {
    "/": today,
    "/map": map,
    "/asset": asset,
    "/regimes": regimes,
    "/vocabulary": vocabulary,
    "/alerts": alerts,
}
