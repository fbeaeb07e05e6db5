"""Other systems' descriptions of pipelines, to and from `.pipe` files.

Conversions are pure functions between messages or mappings and `syntax.Module`; what has no equal comes back as a
list of remarks. Reading and writing folders stands apart from them.
"""
