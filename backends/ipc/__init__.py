"""What processes of ours share: values in shared memory, frames on a socket, how one begins, ends and begins again."""
