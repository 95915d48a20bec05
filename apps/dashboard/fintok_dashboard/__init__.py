"""The anomaly dashboard: where the market stands, which assets did something they should not, and why.

Pages in `pages`, each a layout and its callbacks; what they show is worked out in modules without any Dash.
"""
