"""Plotly figures of what fintok finds. Plotly is imported when a figure is drawn, not before."""
