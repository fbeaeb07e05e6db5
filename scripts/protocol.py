"""Descriptor sets of the wire protocol: `python scripts/protocol.py` compiles serving/protocol/*.proto.

What is committed is data, so that a server needs no compiler and no generated code. A test compiles again and compares.
"""

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "serving" / "protocol"


def compiled(proto: Path) -> bytes:
    """The descriptor set of one file, without those it imports."""
    from grpc_tools import protoc  # dev only: nobody who serves needs it

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.binpb"
        common = files("grpc_tools") / "_proto"
        arguments = ["protoc", f"-I{proto.parent}", f"-I{common}", f"--descriptor_set_out={out}", proto.name]
        if protoc.main(arguments):
            raise SystemExit(f"{proto}: did not compile")
        return out.read_bytes()


def main() -> int:
    for proto in sorted(FOLDER.glob("*.proto")):
        proto.with_suffix(".binpb").write_bytes(compiled(proto))
    return 0


if __name__ == "__main__":
    sys.exit(main())
