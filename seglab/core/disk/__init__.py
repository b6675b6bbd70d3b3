"""Files and folders: written whole, told apart, and where code came from."""
