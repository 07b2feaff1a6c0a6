// SPDX-License-Identifier: Apache-2.0
//! The tokenizer of a `tokenizer.json`: Hugging Face's pipeline, with special tokens in the text
//! found only where the caller asks for it.

use std::collections::{BTreeSet, HashSet};

use tokenizers::{
    AddedVocabulary, Model, ModelWrapper, OffsetType, PreTokenizer, Token, Tokenizer,
};

use crate::status::{Code, Failure};

/// Immutable, shared by threads.
pub struct Pipeline {
    tokenizer: Tokenizer,
    /// The tokenizer's added tokens, special ones left alone as text.
    plain: AddedVocabulary,
    specials: HashSet<String>,
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Corrupt, format!("tokenizer.json is refused: {error}"))
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::InvalidArgument, format!("the text cannot be tokenized: {error}"))
}

impl Pipeline {
    pub fn new(json: &[u8]) -> Result<Self, Failure> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(refused)?;
        // Cutting and filling up is for training batches; a prompt is taken as it is.
        tokenizer.with_truncation(None).map_err(refused)?;
        tokenizer.with_padding(None);
        let mut plain = tokenizer.get_added_vocabulary().clone();
        plain.set_encode_special_tokens(true);
        let specials = tokenizer
            .get_added_tokens_decoder()
            .values()
            .filter(|token| token.special && !token.content.is_empty())
            .map(|token| token.content.clone())
            .collect();
        Ok(Self { tokenizer, plain, specials })
    }

    pub fn encode(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<i32>, Failure> {
        let added = if parse_special { self.tokenizer.get_added_vocabulary() } else { &self.plain };
        let mut parts = added.extract_and_normalize(self.tokenizer.get_normalizer(), text);
        if let Some(splitter) = self.tokenizer.get_pre_tokenizer() {
            splitter.pre_tokenize(&mut parts).map_err(failed)?;
        }
        let model = self.tokenizer.get_model();
        parts.tokenize(|part| self.tokens(model, part.get())).map_err(failed)?;
        let encoding = parts.into_encoding(None, 0, OffsetType::None).map_err(failed)?;
        let encoding = self.tokenizer.post_process(encoding, None, add_special).map_err(failed)?;
        encoding
            .get_ids()
            .iter()
            .map(|&id| i32::try_from(id).map_err(|_| failed(format!("id {id}"))))
            .collect()
    }

    /// The model's tokens. Some models have their special tokens in the vocabulary and would spell
    /// text with them; such text is tokenized in parts that no special token fits.
    fn tokens(&self, model: &ModelWrapper, text: &str) -> tokenizers::Result<Vec<Token>> {
        let tokens = model.tokenize(text)?;
        if !tokens.iter().any(|token| self.is_spelled_special(token, text)) {
            return Ok(tokens);
        }
        let mut tokens = Vec::new();
        let mut begin = 0;
        for cut in self.cuts(text).into_iter().chain([text.len()]) {
            tokens.extend(model.tokenize(&text[begin..cut])?);
            begin = cut;
        }
        Ok(tokens)
    }

    /// Behind the first character of every special token that `text` spells.
    fn cuts(&self, text: &str) -> Vec<usize> {
        let sizes: BTreeSet<usize> = self.specials.iter().map(String::len).collect();
        let mut cuts = Vec::new();
        for (at, first) in text.char_indices() {
            let spells = |&size: &usize| {
                text.get(at..at + size).is_some_and(|part| self.specials.contains(part))
            };
            let cut = at + first.len_utf8();
            if cut < text.len() && sizes.iter().any(spells) {
                cuts.push(cut);
            }
        }
        cuts
    }

    fn is_spelled_special(&self, token: &Token, text: &str) -> bool {
        self.specials.contains(&token.value)
            && text.get(token.offsets.0..token.offsets.1) == Some(token.value.as_str())
    }
}
