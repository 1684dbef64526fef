"""Frames for charts that draw something other than rates: one module a chart, of its name, with ``typical()``."""
