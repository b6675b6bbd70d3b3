"""Images that look alike: hashes, an index over them, and a second look at the pixels."""
