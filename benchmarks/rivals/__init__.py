"""What else one could use, each as well as it can be written.

Every function takes a `Workload` and returns bits, shape (U,), as `tefast.transfer_entropy` does.
"""
