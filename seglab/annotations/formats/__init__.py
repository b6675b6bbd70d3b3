"""One module a format; each states its rasteriser and its rules in its docstring."""
