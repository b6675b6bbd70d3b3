"""Parts of your own for seglab."""
