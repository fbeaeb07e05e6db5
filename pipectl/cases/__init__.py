"""Golden cases of a pipeline: what is asked, what must come out; read from `<file>.test.toml` beside it."""
