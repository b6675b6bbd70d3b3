"""Which class each value in a mask file is: looked up, asked for or, of plain files, surveyed."""
