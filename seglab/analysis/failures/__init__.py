"""The images on which a run fails, worst first: as a widget or as a figure."""
