# SPDX-License-Identifier: Apache-2.0
"""One Unigram vocabulary in the layouts that tokenizer.json files of this kind have, for token_compare.py."""
import base64

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

CONTROL, USER_DEFINED = 3, 4


def tokenizer_of(vocabulary, normalizer, pre_tokenizer, decoder, lstrip=()):
    pieces = list(zip(vocabulary["tokens"], vocabulary["scores"]))
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=vocabulary["unk"], byte_fallback=False))
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, pre_tokenizer, decoder
    for token, kind in zip(vocabulary["tokens"], vocabulary["types"]):
        if kind in (CONTROL, USER_DEFINED):
            tokenizer.add_tokens([AddedToken(token, special=kind == CONTROL, normalized=False,
                                             lstrip=token in lstrip)])
    return tokenizer


def layouts(vocabulary):
    """{name: tokenizers.Tokenizer}"""
    charsmap = normalizers.Precompiled(base64.b64decode(vocabulary["charsmap"]))
    words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    squeezed = normalizers.Sequence([charsmap, normalizers.Strip(left=False, right=True),
                                     normalizers.Replace(Regex(" {2,}"), "\u2581")])
    albert = normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(),
                                   normalizers.StripAccents(), normalizers.Lowercase(), charsmap])
    metaspace = decoders.Metaspace()
    return {
        "Unigram as T5's": tokenizer_of(vocabulary, charsmap, words, metaspace),
        "Unigram as XLM-R's": tokenizer_of(vocabulary, charsmap, words, metaspace, lstrip=("<think>", "</s>")),
        "Unigram as ALBERT's": tokenizer_of(vocabulary, albert, words, metaspace),
        "Unigram as T5's of transformers 4.45 and later": tokenizer_of(vocabulary, squeezed, pre_tokenizers.Metaspace(),
                                                                       metaspace),
    }
