// SPDX-License-Identifier: Apache-2.0
//! A tokenizer as llguidance wants it: the bytes of every token in a trie, and a way to cut text
//! that a grammar forces into the tokens that the model itself would use.

use std::ffi::c_void;

use llguidance::toktrie::{TokRxInfo, TokTrie, TokenId, TokenizerEnv, INVALID_TOKEN};

use crate::status::{Code, Failure, Slice};

/// The trie counts the nodes above one in ten bits.
const TOKEN_BYTES_MAX: usize = 1000;

/// What a token is under a grammar, as bridge.h numbers it.
const KIND_UNUSED: u8 = 0;
const KIND_SPECIAL: u8 = 2;

/// `paring_bridge_tokenize`.
pub type Tokenize = unsafe extern "C" fn(
    context: *const c_void,
    text: Slice,
    ids: *mut u32,
    capacity: usize,
) -> usize;

/// The caller's tokenizer, given back when the last grammar that needs it is gone.
pub struct Caller {
    pub tokenize: Tokenize,
    pub release: unsafe extern "C" fn(context: *const c_void),
    pub context: *const c_void,
}

impl Drop for Caller {
    fn drop(&mut self) {
        // SAFETY: it came with the context, which nobody uses any more.
        unsafe { (self.release)(self.context) }
    }
}

// SAFETY: bridge.h demands that any thread may call it.
unsafe impl Send for Caller {}
// SAFETY: as above.
unsafe impl Sync for Caller {}

pub struct Vocabulary {
    trie: TokTrie,
    caller: Caller,
    /// Whether every text can be spelled, so that forced text can be cut before it is drawn.
    spells_text: bool,
}

impl Vocabulary {
    /// `tokens` and `kinds` by id; `ends` are the ids that end a generation, the one to stand for
    /// all of them first.
    pub fn new(
        tokens: &[&[u8]],
        kinds: &[u8],
        ends: &[u32],
        caller: Caller,
    ) -> Result<Self, Failure> {
        let mut spelled = [false; 256];
        let mut words = Vec::with_capacity(tokens.len());
        for (token, kind) in tokens.iter().zip(kinds) {
            let mut word = Vec::new();
            if *kind == KIND_SPECIAL {
                // No text has this byte, so no text can pass for a special token.
                word.push(TokTrie::SPECIAL_TOKEN_MARKER);
            }
            // A text cannot begin with the marker: such a token would pass for a special one.
            let is_marked = token.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER);
            if *kind != KIND_UNUSED && token.len() <= TOKEN_BYTES_MAX && !is_marked {
                word.extend_from_slice(token);
                if word.len() == 1 {
                    spelled[usize::from(word[0])] = true;
                }
            }
            words.push(word);
        }
        let spells_text =
            (0..=255_u8).filter(|byte| !is_seldom(*byte)).all(|byte| spelled[usize::from(byte)]);
        let count = u32::try_from(words.len()).map_err(|_| too_many())?;
        let info = TokRxInfo::new(count, ends.first().copied().unwrap_or(INVALID_TOKEN));
        let trie = TokTrie::from(&info, &words);
        Ok(Self { trie, caller, spells_text })
    }

    fn after<'t>(&self, text: &'t [u8], id: TokenId) -> Option<&'t [u8]> {
        text.strip_prefix(self.trie.token(id))
    }

    fn by_caller(&self, text: &[u8]) -> Option<Vec<TokenId>> {
        let mut ids = vec![0_u32; text.len() + 1];
        let slice = Slice::of(text);
        // SAFETY: the slice and the ids live through the call, as bridge.h demands.
        let count = unsafe {
            (self.caller.tokenize)(self.caller.context, slice, ids.as_mut_ptr(), ids.len())
        };
        if count > ids.len() || ids[..count].iter().any(|id| *id >= self.trie.vocab_size() as u32) {
            return None;
        }
        ids.truncate(count);
        // Some tokenizers put a space in front of every text; those ids spell something else.
        (self.trie.decode_raw(&ids) == text).then_some(ids)
    }
}

/// Control characters, which JSON escapes; bytes that UTF-8 never has; bytes that begin characters of
/// planes in which none is assigned. Vocabularies learnt from text lack some of them.
fn is_seldom(byte: u8) -> bool {
    let is_space = matches!(byte, b'\t' | b'\n' | b'\r');
    (byte < b' ' && !is_space) || matches!(byte, 0x7F | 0xC0 | 0xC1 | 0xF1 | 0xF2 | 0xF5..=0xFF)
}

fn too_many() -> Failure {
    Failure::new(Code::InvalidArgument, "the vocabulary has more than 2^32 tokens")
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, text: &[u8]) -> Vec<TokenId> {
        if text.is_empty() {
            return Vec::new();
        }
        // What cannot be spelled ends the cut: what follows it would be forced in its place.
        self.by_caller(text).unwrap_or_else(|| {
            let mut rest = text;
            let mut ids = self.trie.greedy_tokenize(text);
            let mut count = 0;
            while let Some(tail) = ids.get(count).and_then(|id| self.after(rest, *id)) {
                rest = tail;
                count += 1;
            }
            ids.truncate(count);
            ids
        })
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.spells_text
    }
}
