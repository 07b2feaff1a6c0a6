// SPDX-License-Identifier: Apache-2.0
//! Grammars compiled for one vocabulary. A compiled grammar is immutable; sequences copy it.

use std::collections::VecDeque;
use std::fmt::Display;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::Arc;
use std::time::{Duration, Instant};

use llguidance::api::{GrammarWithLexer, ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{InferenceCapabilities, TokEnv};
use llguidance::{ParserFactory, TokenParser};

use crate::lark_source::LarkSource;
use crate::matcher::SequenceMatcher;
use crate::schema::{self, Schema, SchemaLimits};
use crate::status::{Code, Failure};

/// Recursions over what a stranger sent are bounded by the limits; their depth times a frame fits.
const COMPILE_STACK_BYTES: usize = 64 << 20;
/// Compilations that ran out of time and have not ended yet. Beyond it nothing is compiled.
const STRAYS_MAX: usize = 4;
/// How often a caller looks whether a compilation has used up its time.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Times its processor time that a compilation may take by the clock on the wall.
const BUSY_FACTOR: u32 = 5;

/// Classes of tokens that are allowed or not as a whole. Each one more speeds up some masks and adds
/// a few copies of the vocabulary's trie: of llguidance's four these two give nearly all.
const SLICES: [&str; 2] = [r#"[^"\\\x00-\x1F\x7F]{1,10}"#, r#"[^"\\\x00-\x1F\x7F]+"#];

#[derive(Clone, Copy)]
pub struct Limits {
    pub schema: SchemaLimits,
    pub grammar_symbols: usize,
    pub compile_fuel: u64,
    pub mask_fuel: u64,
    pub mask_items: usize,
    pub lexer_states: usize,
    pub compile_time: Duration,
}

/// One grammar of a set; others refer to it as `@name`.
pub enum Part {
    Schema {
        name: String,
        json: String,
        is_compact: bool,
    },
    /// `is_foreign`: of a stranger.
    Lark {
        name: String,
        source: String,
        is_foreign: bool,
    },
}

struct Shared {
    parsers: ParserFactory,
    limits: Limits,
    ends: Vec<u32>,
    strays: AtomicUsize,
}

pub struct Factory(Arc<Shared>);

pub struct Grammar {
    prototype: TokenParser,
    ends: Arc<[u32]>,
}

impl Factory {
    pub fn new(env: &TokEnv, ends: &[u32], limits: Limits) -> Result<Self, Failure> {
        let capabilities = InferenceCapabilities {
            ff_tokens: env.tokenize_is_canonical(),
            ..InferenceCapabilities::default()
        };
        let slices = SLICES.map(str::to_string);
        let mut parsers = ParserFactory::new(env, capabilities, &slices)
            .map_err(|error| Failure::new(Code::Internal, readable(&error)))?;
        parsers.quiet();
        *parsers.limits_mut() = ParserLimits {
            initial_lexer_fuel: limits.compile_fuel,
            step_lexer_fuel: limits.mask_fuel,
            step_max_items: limits.mask_items,
            max_lexer_states: limits.lexer_states,
            max_grammar_size: limits.grammar_symbols,
            verbose_errors: false,
            ..ParserLimits::default()
        };
        let strays = AtomicUsize::new(0);
        Ok(Self(Arc::new(Shared { parsers, limits, ends: ends.to_vec(), strays })))
    }

    /// On a thread of its own: its stack is known, and the caller can leave when time is up.
    pub fn compile(&self, parts: Vec<Part>) -> Result<Grammar, Failure> {
        let shared = Arc::clone(&self.0);
        if shared.strays.fetch_add(1, Ordering::AcqRel) >= STRAYS_MAX {
            shared.strays.fetch_sub(1, Ordering::AcqRel);
            let message = format!("{STRAYS_MAX} grammars are being compiled");
            return Err(Failure::new(Code::Exhausted, message));
        }
        let time = shared.limits.compile_time;
        let (sender, receiver) = mpsc::channel();
        let clock = Arc::new(AtomicI32::new(0));
        let own_clock = Arc::clone(&clock);
        let body = move || {
            own_clock.store(clock_of_this_thread(), Ordering::Release);
            let outcome = catch_unwind(AssertUnwindSafe(|| shared.compile(parts)));
            let outcome = outcome.unwrap_or_else(|_| {
                Err(Failure::new(Code::InvalidArgument, "the grammar cannot be compiled"))
            });
            shared.strays.fetch_sub(1, Ordering::AcqRel);
            // The caller may have left.
            let _ = sender.send(outcome);
        };
        let thread = std::thread::Builder::new()
            .name("grammar".to_string())
            .stack_size(COMPILE_STACK_BYTES)
            .spawn(body);
        if let Err(error) = thread {
            self.0.strays.fetch_sub(1, Ordering::AcqRel);
            let message = format!("no thread could be started to compile a grammar: {error}");
            return Err(Failure::new(Code::Exhausted, message));
        }
        let begin = Instant::now();
        loop {
            match receiver.recv_timeout(LOOK_INTERVAL) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::new(Code::Internal, "a compilation broke off"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if time_of(clock.load(Ordering::Acquire)) >= time {
                let message = format!(
                    "the grammar is too complex: it was not compiled within {} ms",
                    time.as_millis()
                );
                return Err(Failure::new(Code::InvalidArgument, message));
            }
            if begin.elapsed() >= time * BUSY_FACTOR {
                let message = "the machine is too busy to compile a grammar";
                return Err(Failure::new(Code::Exhausted, message));
            }
        }
    }
}

fn clock_of_this_thread() -> i32 {
    let mut clock = 0;
    // SAFETY: the thread is the calling one, the clock a local.
    let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
    if failed == 0 {
        clock
    } else {
        0
    }
}

/// Processor time by a thread's clock; none for one that has ended or was not told yet.
fn time_of(clock: i32) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a clock that does not exist is an error of the call.
    if clock == 0 || unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Shared {
    fn compile(&self, parts: Vec<Part>) -> Result<Grammar, Failure> {
        let mut grammars = Vec::with_capacity(parts.len());
        let mut schemas = Vec::new();
        let mut pending: VecDeque<Part> = parts.into();
        while let Some(part) = pending.pop_front() {
            let (name, mut grammar) = match part {
                Part::Schema { name, json, is_compact } => {
                    let schema = Schema::parse(&json, &self.limits.schema)?;
                    let whole = schema.compiled(is_compact);
                    schemas.push(schema);
                    (name, GrammarWithLexer::from_json_schema(whole))
                }
                Part::Lark { name, source, is_foreign: false } => {
                    (name, GrammarWithLexer::from_lark(source))
                }
                Part::Lark { name, source, is_foreign: true } => {
                    let lark = LarkSource::parse(&source, self.limits.schema.regex_bytes)?;
                    for (name, json) in lark.schemas {
                        pending.push_back(Part::Schema { name, json, is_compact: false });
                    }
                    (name, GrammarWithLexer::from_lark(lark.text))
                }
            };
            grammar.name = Some(name);
            grammars.push(grammar);
        }
        let prototype = self.parser(grammars).map_err(|message| {
            let at = schemas.iter().find_map(|schema| self.diagnose(schema));
            Failure::new(Code::InvalidArgument, at.unwrap_or(message))
        })?;
        let grammar = Grammar { prototype, ends: self.ends.clone().into() };
        // What cannot begin within the limits of one mask is refused now rather than drawn from.
        let words = self.parsers.tok_env().tok_trie().vocab_size().div_ceil(32);
        grammar.start().mask(&mut vec![0; words]).map_err(|_| {
            let message = "no answer can begin by the grammar, or it is too complex";
            Failure::new(Code::InvalidArgument, message)
        })?;
        Ok(grammar)
    }

    fn parser(&self, grammars: Vec<GrammarWithLexer>) -> Result<TokenParser, String> {
        let grammar = TopLevelGrammar { grammars, max_tokens: None };
        let mut parser = self.parsers.create_parser(grammar).map_err(|error| readable(&error))?;
        parser.start_without_prompt();
        Ok(parser)
    }

    /// Where in the schema the trouble lies: the innermost part that does not compile by itself.
    fn diagnose(&self, schema: &Schema) -> Option<String> {
        schema::innermost_failure(schema, |part| {
            self.parser(vec![GrammarWithLexer::from_json_schema(part)]).err()
        })
    }
}

/// What llguidance says, without the dumps and addresses that it may add.
pub fn readable(error: &impl Display) -> String {
    let text = format!("{error:#}");
    if text.contains("panic") {
        return "the grammar cannot be compiled".to_string();
    }
    let text = text.split("\n<").next().unwrap_or("");
    if text.contains("oneOf constraints") {
        return "its options must exclude each other: by type, or by a required property that has \
                another const in each"
            .to_string();
    }
    if text.contains("limits.") || text.contains("too large") {
        return "it is too complex".to_string();
    }
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(400).collect()
}

impl Grammar {
    pub fn start(&self) -> SequenceMatcher {
        SequenceMatcher::new(self.prototype.deep_clone(), Arc::clone(&self.ends))
    }
}
