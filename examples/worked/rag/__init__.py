"""The python stages of rag.pipe."""
