"""`--frontends N`: processes that accept and decode, in front of the one that runs the engines.

    client --SO_REUSEPORT--> frontend --Call + shared memory--> parent: operations --Answer--> frontend --> client

A frontend runs the same ports on a `Front` that asks its parent; every operation, and every check of a caller's groups,
runs in the parent.
"""
