"""Contracts of components as test classes: prove a part of your own in five lines.

    class TestMyLoss(LossContract):
        def build(self, **supplied):
            return MyLoss(gamma=2.0, **supplied)

pytest runs every check of the kind; `LossContract.check(MyLoss)` does so in a notebook. seglab's own
components inherit the same classes. Plain asserts only: nothing here needs pytest.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
