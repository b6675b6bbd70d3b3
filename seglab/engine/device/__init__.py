"""Which devices and cores a process uses, and the processes that share them."""
