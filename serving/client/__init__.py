"""Clients of a server, for Python programs and for the command.

connect (sync), aconnect (asyncio): typed services, described by the server itself    protocol.Client: the protocol v2
"""
