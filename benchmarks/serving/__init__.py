"""Servers side by side: ours, floors of the same libraries, and others where they are installed.

    python -m benchmarks.serving --json FILE

Every server runs as a process of its own and is driven by the same client, in turn, in one run. What is compared is
the CPU time of the server's whole process tree for each request: on a machine shared with the client that is steadier
than requests per second, which stand beside it.
"""
