"""The protocol over HTTP: the v2 REST surface, its binary extension, server-sent events, metrics and pages.

    bytes --Connection (limits)--> ASGI --InferApp | routes--> operations --> Reply --> bytes

Inference is a plain ASGI callable, because it is called for every request; Starlette routes everything else.
"""
