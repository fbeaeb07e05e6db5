"""`pipectl lsp`: the index of names spoken over the Language Server Protocol.

    client -> server -> project (open texts, analyses) -> answers (one function a request) -> convert -> client

What is known of a file comes from `pipeline_dsl.index`; here are texts that change, places in UTF-16, and the moments
at which files are looked at again.
"""
