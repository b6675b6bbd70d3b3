"""How runs learn: curves over epochs, gap to training, what more data or a bigger model would give."""
