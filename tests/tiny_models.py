"""Language models of two small layers with tokenizers of their own, made in a test and kept nowhere."""

from __future__ import annotations

from pathlib import Path

WORDS = (
    *("bought", "viewed", "searched", "reviewed", "asked", "support", "thing", "kind", "red", "green", "blue", "old"),
    *("ago", "day", "days", "week", "weeks", "month", "months", "hours", "just", "now", "for", "times", "x", "no"),
    *("events", "yet", "good", "bad", "late", "parcel", "refund", "where", "is", "my", "it", "the", "a", "not"),
    *"0123456789.;:,\"'()",
)


def tokenizer(words: tuple[str, ...] = WORDS):
    """Words and single characters; nothing is put before or after a text, as decoders do."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(("[UNK]", *words)))}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # No pad token, and no end of text: what a decoder's folder may lack.
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", model_max_length=64)


def decoder(folder: Path, **more: int) -> str:
    """A Llama of two layers, in a folder."""
    import torch
    from transformers import LlamaConfig, LlamaModel

    made = tokenizer()
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2} | more
    torch.manual_seed(0)
    LlamaModel(
        LlamaConfig(vocab_size=len(made), intermediate_size=48, max_position_embeddings=96, **sizes)
    ).save_pretrained(folder)
    made.save_pretrained(folder)
    return str(folder)


def encoder(folder: Path, seed: int = 0) -> str:
    """A BERT of two layers, in a folder."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    made = BertTokenizerFast(str(folder / "vocab.txt"))
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    torch.manual_seed(seed)
    BertModel(BertConfig(vocab_size=len(made), max_position_embeddings=96, **sizes)).save_pretrained(folder)
    made.save_pretrained(folder)
    return str(folder)
