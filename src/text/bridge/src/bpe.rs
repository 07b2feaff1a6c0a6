// SPDX-License-Identifier: Apache-2.0
//! Byte-level BPE: words of raw bytes in, token ids out. Where words begin and end is the caller's
//! business; the merging itself is the BPE model of the `tokenizers` crate.

use std::collections::HashMap;

use tokenizers::models::bpe::BPE;
use tokenizers::Model;

use crate::status::{Code, Failure};

/// Longest word that the memo of one call keeps, in bytes. Longer words hardly repeat.
const MEMO_WORD_BYTES_MAX: usize = 64;
/// Words that the memo of one call holds at most: bounds it to a few MB.
const MEMO_WORDS_MAX: usize = 1 << 16;

/// The 256 characters that stand for the bytes in a byte-level vocabulary: printable Latin-1 stands
/// for itself, the rest is numbered from U+0100 on.
fn byte_alphabet() -> [char; 256] {
    let mut alphabet = ['\0'; 256];
    let mut next = 256_u32;
    for (byte, slot) in alphabet.iter_mut().enumerate() {
        let byte = byte as u32;
        let printable = (0x21..=0x7e).contains(&byte)
            || (0xa1..=0xac).contains(&byte)
            || (0xae..=0xff).contains(&byte);
        let code_point = if printable {
            byte
        } else {
            next += 1;
            next - 1
        };
        *slot = char::from_u32(code_point).unwrap_or('\u{fffd}');
    }
    alphabet
}

/// Immutable, shared by threads.
pub struct Bpe {
    model: BPE,
    /// Token text to id, for words that are taken whole. Empty when merges are never ignored.
    whole_words: HashMap<String, i32>,
    alphabet: [char; 256],
    /// Whether the vocabulary has a token for the single byte. llama.cpp leaves out a byte without
    /// one and never merges across it; the model would join its neighbours.
    byte_known: [bool; 256],
    all_bytes_known: bool,
}

fn too_long(tokens: usize) -> Failure {
    Failure::new(Code::Internal, format!("{tokens} tokens do not fit into 32-bit ids"))
}

impl Bpe {
    /// `merges` are pairs of ids by descending priority. Fails on duplicate tokens, on ids beyond
    /// the vocabulary and on a merge whose result is not a token.
    pub fn new(tokens: &[&str], merges: &[u32], ignore_merges: bool) -> Result<Self, Failure> {
        let mut vocab = HashMap::with_capacity(tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            let id = u32::try_from(id).map_err(|_| too_long(tokens.len()))?;
            if let Some(earlier) = vocab.insert((*token).to_string(), id) {
                let message = format!("tokens {earlier} and {id} are the same: {token:?}");
                return Err(Failure::new(Code::Corrupt, message));
            }
        }
        let pairs = checked_merges(tokens, merges, &vocab)?;
        let alphabet = byte_alphabet();
        let mut byte_known = [false; 256];
        for (byte, known) in byte_known.iter_mut().enumerate() {
            *known = vocab.contains_key(alphabet[byte].to_string().as_str());
        }
        let whole_words = if ignore_merges {
            vocab.iter().map(|(token, id)| (token.clone(), *id as i32)).collect()
        } else {
            HashMap::new()
        };
        // The model's own cache would live in every thread until it ends; the memo of encode() is
        // gone with the call.
        let model = BPE::builder()
            .vocab_and_merges(vocab.into_iter().collect::<ahash_map::Vocab>(), pairs)
            .cache_capacity(0)
            .build()
            .map_err(|error| Failure::new(Code::Corrupt, error.to_string()))?;
        let all_bytes_known = byte_known.iter().all(|known| *known);
        Ok(Self { model, whole_words, alphabet, byte_known, all_bytes_known })
    }

    /// `word_ends` are ascending byte positions in `text`; the last one is its length.
    pub fn encode(&self, text: &[u8], word_ends: &[usize]) -> Result<Vec<i32>, Failure> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 1);
        let mut memo: HashMap<&[u8], (usize, usize)> = HashMap::new();
        let mut begin = 0;
        for &end in word_ends {
            let word = text.get(begin..end).ok_or_else(|| {
                let size = text.len();
                let message = format!("word {begin}..{end} does not lie in {size} bytes of text");
                Failure::new(Code::InvalidArgument, message)
            })?;
            begin = end;
            if let Some(&(first, last)) = memo.get(word) {
                ids.extend_from_within(first..last);
                continue;
            }
            let first = ids.len();
            self.encode_word(word, &mut ids)?;
            if word.len() <= MEMO_WORD_BYTES_MAX && memo.len() < MEMO_WORDS_MAX {
                memo.insert(word, (first, ids.len()));
            }
        }
        Ok(ids)
    }

    fn spelled(&self, bytes: &[u8]) -> String {
        bytes.iter().map(|&byte| self.alphabet[usize::from(byte)]).collect()
    }

    fn encode_word(&self, word: &[u8], ids: &mut Vec<i32>) -> Result<(), Failure> {
        if !self.whole_words.is_empty() {
            if let Some(&id) = self.whole_words.get(self.spelled(word).as_str()) {
                ids.push(id);
                return Ok(());
            }
        }
        if self.all_bytes_known {
            return self.merge(word, ids);
        }
        for part in word.split(|&byte| !self.byte_known[usize::from(byte)]) {
            self.merge(part, ids)?;
        }
        Ok(())
    }

    fn merge(&self, part: &[u8], ids: &mut Vec<i32>) -> Result<(), Failure> {
        if part.is_empty() {
            return Ok(());
        }
        let tokens = self
            .model
            .tokenize(&self.spelled(part))
            .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        ids.extend(tokens.iter().map(|token| token.id as i32));
        Ok(())
    }
}

/// Merges as texts, the first of equal pairs kept. The model's builder relies on each result being
/// a token no longer than the longest one, so that is checked here.
fn checked_merges(
    tokens: &[&str],
    merges: &[u32],
    vocab: &HashMap<String, u32>,
) -> Result<Vec<(String, String)>, Failure> {
    let mut seen = std::collections::HashSet::with_capacity(merges.len() / 2);
    let mut pairs = Vec::with_capacity(merges.len() / 2);
    for (rank, pair) in merges.chunks_exact(2).enumerate() {
        let token = |id: u32| {
            tokens.get(id as usize).copied().ok_or_else(|| {
                let message = format!("merge {rank} names token {id} of {}", tokens.len());
                Failure::new(Code::Corrupt, message)
            })
        };
        let (left, right) = (token(pair[0])?, token(pair[1])?);
        if !vocab.contains_key(&format!("{left}{right}")) {
            let message = format!("merge {rank} makes {left:?} + {right:?}, which is not a token");
            return Err(Failure::new(Code::Corrupt, message));
        }
        if seen.insert((pair[0], pair[1])) {
            pairs.push((left.to_string(), right.to_string()));
        }
    }
    Ok(pairs)
}

/// The map type that the builder takes, named without a dependency of our own on its crate.
mod ahash_map {
    pub type Vocab = tokenizers::models::bpe::Vocab;
}
