"""Stock stages for text, with a tokenizer trained here."""

from pathlib import Path

import numpy as np
import pytest

from backends.stock import text

WORDS = ["the", "cat", "sat", "on", "the", "mat", "and", "the", "dog", "sat", "by", "the", "door"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizers = pytest.importorskip("tokenizers", reason="the examples extra is not installed")
    vocabulary = {word: i for i, word in enumerate(["[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(WORDS)])}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    model.enable_padding(length=40)  # what a file says of padding is not for a stage that gives ragged rows
    place = tmp_path_factory.mktemp("tokenizer")
    model.add_special_tokens(["[CLS]", "[SEP]"])
    model.save(str(place / "tokenizer.json"))
    return place


def strings(*texts: str) -> np.ndarray:
    return np.array(texts, object)


def lists(ragged):
    return [row.tolist() for row in ragged]


def test_rows_have_their_own_length_and_a_mask_of_ones(folder):
    stage = text.Tokenizer(file="tokenizer.json", folder=str(folder))
    ids, mask = stage(text=strings("the cat", "", "the dog sat"))
    assert lists(ids) == [[1, 3, 4, 2], [1, 2], [1, 3, 9, 5, 2]]
    assert lists(mask) == [[1] * 4, [1] * 2, [1] * 5]


def test_long_texts_are_cut(folder):
    ids, _ = text.Tokenizer(file="tokenizer.json", longest=4, folder=str(folder))(text=strings("the cat sat on"))
    assert lists(ids) == [[1, 3, 4, 2]]


def test_pairs_tell_their_halves_apart(folder):
    stage = text.PairTokenizer(file="tokenizer.json", folder=str(folder))
    ids, mask, kind = stage(text=strings("the cat"), other=strings("dog"))
    assert lists(ids) == [[1, 3, 4, 2, 9, 2]]
    assert lists(kind) == [[0, 0, 0, 0, 1, 1]]
    assert lists(mask) == [[1] * 6]


def test_tokens_become_text_again(folder):
    ids, _ = text.Tokenizer(file="tokenizer.json", folder=str(folder))(text=strings("the cat sat", ""))
    assert text.Detokenizer(file="tokenizer.json", folder=str(folder))(ids=ids) == ["the cat sat", ""]


def test_no_texts_give_no_rows(folder):
    ids, mask = text.Tokenizer(file="tokenizer.json", folder=str(folder))(text=np.array([], object))
    assert (len(ids), len(mask)) == (0, 0)


def test_clean_composes_and_trims():
    assert text.clean(text=strings("  a\t\n b ", "e\u0301", "")) == ["a b", "\u00e9", ""]


def test_a_missing_file_is_told_with_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"there is no tokenizer file .*nowhere.json; set TOKENIZER to a full path"):
        text.Tokenizer(file="nowhere.json", folder=str(tmp_path))


def test_a_file_that_is_no_tokenizer_is_told(tmp_path):
    (tmp_path / "broken.json").write_text('{"model": 1}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken.json is no tokenizer.json"):
        text.Tokenizer(file="broken.json", folder=str(tmp_path))
