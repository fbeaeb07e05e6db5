"""Stock stages: the code behind `@std/vision.pipe`, `@std/post.pipe` and `@std/text.pipe`.

Plain functions and classes with the contract of a python stage. Arrays may be numpy's or CuPy's: what is computed
stays where its input is (`arrays.namespace`).
"""
