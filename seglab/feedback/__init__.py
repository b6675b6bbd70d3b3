"""From what a service answered back to what a model is trained on: which images to label, and their labels.

`queue` chooses, `exchange` gives to annotation tools and takes back. The control share that every queue
has is drawn at random, so that the quality measured on it is that of the whole traffic.
"""
