"""The wire: what clients and other servers send and expect. Descriptions of messages, so far."""
