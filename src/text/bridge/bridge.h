/* SPDX-License-Identifier: Apache-2.0
 *
 * The C interface of the Rust text bridge (paring_text_bridge), implemented in src/lib.rs. Only the
 * text module includes it; everybody else uses text/tokenizer.h and text/chat_template.h.
 *
 * Rules that hold for every function:
 * - It returns a status. code 0 is success; otherwise `message` is one UTF-8 sentence that the
 *   caller frees with paring_bridge_buffer_free. Panics become PARING_BRIDGE_INTERNAL.
 * - Slices and arrays that go in belong to the caller and are not used after the call. Buffers, id
 *   arrays and handles that come out belong to the bridge: they go back through their free
 * function, once. On failure `*out` is null or empty and needs no free.
 * - Size and depth limits of what goes in are checked by the caller before the call.
 * - Handles are opaque. All but matchers are immutable: any number of threads may use one at the
 * same time, and free it when none does. A matcher is used by one thread at a time, any thread.
 */
#ifndef PARING_TEXT_BRIDGE_BRIDGE_H_
#define PARING_TEXT_BRIDGE_BRIDGE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum paring_bridge_code {
  PARING_BRIDGE_OK = 0,
  PARING_BRIDGE_INVALID_ARGUMENT = 1,
  PARING_BRIDGE_CORRUPT = 2,
  PARING_BRIDGE_UNSUPPORTED = 3,
  PARING_BRIDGE_EXHAUSTED = 4,
  PARING_BRIDGE_INTERNAL = 5,
};

/* Bytes of the caller. data may be null when size is 0. */
struct paring_bridge_slice {
  const uint8_t* data;
  size_t size;
};

/* Bytes of the bridge. */
struct paring_bridge_buffer {
  uint8_t* data;
  size_t size;
};

/* Token ids of the bridge. */
struct paring_bridge_ids {
  int32_t* data;
  size_t size;
};

struct paring_bridge_status {
  int32_t code;
  struct paring_bridge_buffer message;
};

void paring_bridge_buffer_free(struct paring_bridge_buffer buffer);
void paring_bridge_ids_free(struct paring_bridge_ids ids);

/* ---- Byte-level BPE ---- */

struct paring_bridge_bpe;

struct paring_bridge_bpe_spec {
  const struct paring_bridge_slice* tokens; /* UTF-8 in the byte-level alphabet; index = id */
  size_t token_count;
  const uint32_t* merges; /* 2 * merge_count ids, best pair first */
  size_t merge_count;
  bool ignore_merges; /* a word that is a token is taken whole */
};

/* PARING_BRIDGE_CORRUPT for a token that is not UTF-8 or occurs twice, and for a merge that names a
 * token beyond the vocabulary or makes one that is not in it. */
struct paring_bridge_status paring_bridge_bpe_create(const struct paring_bridge_bpe_spec* spec,
                                                     struct paring_bridge_bpe** out);

/* Encodes words of raw bytes: word i is text[word_ends[i-1], word_ends[i]). No merge crosses a
 * word. A byte that the vocabulary has no token for is left out, and no merge crosses it. */
struct paring_bridge_status paring_bridge_bpe_encode(const struct paring_bridge_bpe* bpe,
                                                     struct paring_bridge_slice text,
                                                     const size_t* word_ends, size_t word_count,
                                                     struct paring_bridge_ids* out);

/* Null is allowed. */
void paring_bridge_bpe_free(struct paring_bridge_bpe* bpe);

/* ---- The tokenizer of a tokenizer.json ---- */

struct paring_bridge_pipeline;

/* PARING_BRIDGE_CORRUPT when the file is not a tokenizer. Truncation and padding that it asks for
 * are left out. */
struct paring_bridge_status paring_bridge_pipeline_create(struct paring_bridge_slice json,
                                                          struct paring_bridge_pipeline** out);

/* Text in UTF-8. Special tokens spelled out in it stay text unless parse_special. */
struct paring_bridge_status paring_bridge_pipeline_encode(
    const struct paring_bridge_pipeline* pipeline, struct paring_bridge_slice text,
    bool add_special, bool parse_special, struct paring_bridge_ids* out);

/* Null is allowed. */
void paring_bridge_pipeline_free(struct paring_bridge_pipeline* pipeline);

/* ---- Chat templates ---- */

struct paring_bridge_template;

struct paring_bridge_template_limits {
  uint64_t fuel;       /* template instructions of one rendering */
  size_t recursion;    /* nested scopes */
  size_t output_bytes; /* of the rendered text */
  size_t value_bytes;  /* of all values that one rendering makes */
  uint64_t time_ms;    /* processor time of one rendering */
};

struct paring_bridge_render {
  /* A JSON object of variables: "messages", "tools" and whatever else the template reads. */
  struct paring_bridge_slice context;
  struct paring_bridge_slice bos_token;
  struct paring_bridge_slice eos_token;
  int64_t now; /* seconds since 1970, what strftime_now shows in local time */
  bool add_generation_prompt;
};

/* PARING_BRIDGE_CORRUPT when the Jinja source does not parse. */
struct paring_bridge_status paring_bridge_template_create(
    struct paring_bridge_slice source, const struct paring_bridge_template_limits* limits,
    struct paring_bridge_template** out);

/* PARING_BRIDGE_INVALID_ARGUMENT when the template refuses the messages, PARING_BRIDGE_EXHAUSTED
 * when a limit was reached. */
struct paring_bridge_status paring_bridge_template_render(
    const struct paring_bridge_template* chat_template, const struct paring_bridge_render* render,
    struct paring_bridge_buffer* out);

/* Null is allowed. */
void paring_bridge_template_free(struct paring_bridge_template* chat_template);

/* ---- Grammars: which tokens may come next ---- */

struct paring_bridge_grammar_factory; /* one a vocabulary */
struct paring_bridge_grammar;         /* compiled */
struct paring_bridge_matcher;         /* the place of one sequence in a grammar */

enum paring_bridge_token_kind {
  PARING_BRIDGE_TOKEN_UNUSED = 0,
  PARING_BRIDGE_TOKEN_TEXT = 1,
  PARING_BRIDGE_TOKEN_SPECIAL = 2, /* no text: only a grammar that names it by id allows it */
};

/* Writes at most `capacity` ids and returns how many, or more than `capacity` when it cannot. Does
 * not throw; any thread may call it at any time before `release`. */
typedef size_t (*paring_bridge_tokenize)(const void* context, struct paring_bridge_slice text,
                                         uint32_t* ids, size_t capacity);

struct paring_bridge_vocabulary {
  const struct paring_bridge_slice* tokens; /* bytes that they stand for; index = id */
  const uint8_t* kinds;                     /* paring_bridge_token_kind, one a token */
  size_t token_count;
  const uint32_t* ends; /* tokens that end a generation, special ones */
  size_t end_count;
  paring_bridge_tokenize tokenize;      /* how the model itself would cut a text */
  void (*release)(const void* context); /* called once, when nothing needs `context` any more */
  const void* context;
};

struct paring_bridge_grammar_limits {
  size_t schema_bytes;
  size_t schema_depth;
  size_t schema_refs;
  size_t regex_bytes; /* of one pattern in a schema */
  size_t properties;  /* of one object */
  size_t enum_values; /* of one enum */
  uint64_t repeat;    /* minItems, maxItems, minProperties, maxProperties, minLength */
  size_t grammar_symbols;
  uint64_t compile_fuel; /* regular expression nodes */
  uint64_t mask_fuel;    /* of one mask: lexer */
  size_t mask_items;     /* of one mask: parser */
  size_t lexer_states;   /* of one sequence, one to two kB each */
  uint64_t compile_time_ms;
};

/* One grammar of a set. The first begins; grammars in Lark name others as @name. */
struct paring_bridge_grammar_part {
  struct paring_bridge_slice name;
  struct paring_bridge_slice source; /* a JSON schema, or llguidance's variant of Lark */
  bool is_schema;
  bool is_compact; /* of a schema: no white space between JSON's tokens */
  bool is_foreign; /* Lark of a stranger: checked, schemas inside it too */
};

struct paring_bridge_status paring_bridge_grammar_factory_create(
    const struct paring_bridge_vocabulary* vocabulary,
    const struct paring_bridge_grammar_limits* limits, struct paring_bridge_grammar_factory** out);

/* PARING_BRIDGE_INVALID_ARGUMENT for what cannot be compiled or is beyond a limit, naming keyword
 * and place of a schema; PARING_BRIDGE_EXHAUSTED while too many compilations run. */
struct paring_bridge_status paring_bridge_grammar_compile(
    const struct paring_bridge_grammar_factory* factory,
    const struct paring_bridge_grammar_part* parts, size_t part_count,
    struct paring_bridge_grammar** out);

struct paring_bridge_status paring_bridge_matcher_create(
    const struct paring_bridge_grammar* grammar, struct paring_bridge_matcher** out);

struct paring_bridge_status paring_bridge_matcher_fork(const struct paring_bridge_matcher* matcher,
                                                       struct paring_bridge_matcher** out);

/* Bit id % 32 of word id / 32: the token may come next. `word_count` is what all tokens need.
 * PARING_BRIDGE_EXHAUSTED, from now on and for every call, when a limit was reached. */
struct paring_bridge_status paring_bridge_matcher_mask(struct paring_bridge_matcher* matcher,
                                                       uint32_t* bits, size_t word_count);

/* PARING_BRIDGE_INVALID_ARGUMENT, and nothing changes, when the token may not come next. */
struct paring_bridge_status paring_bridge_matcher_accept(struct paring_bridge_matcher* matcher,
                                                         uint32_t token);

/* How many of the tokens, one after the other, may come next. Nothing changes. */
struct paring_bridge_status paring_bridge_matcher_validate(struct paring_bridge_matcher* matcher,
                                                           const uint32_t* tokens,
                                                           size_t token_count, size_t* out);

/* Takes back the last tokens. */
struct paring_bridge_status paring_bridge_matcher_rollback(struct paring_bridge_matcher* matcher,
                                                           size_t token_count);

/* The tokens that must come next, as far as there is no choice. */
struct paring_bridge_status paring_bridge_matcher_forced(struct paring_bridge_matcher* matcher,
                                                         struct paring_bridge_ids* out);

/* Whether nothing but an end token may follow, and whether one may. */
struct paring_bridge_status paring_bridge_matcher_state(struct paring_bridge_matcher* matcher,
                                                        bool* is_done, bool* may_end);

/* Null is allowed, in any order. */
void paring_bridge_grammar_factory_free(struct paring_bridge_grammar_factory* factory);
void paring_bridge_grammar_free(struct paring_bridge_grammar* grammar);
void paring_bridge_matcher_free(struct paring_bridge_matcher* matcher);

#ifdef __cplusplus
}
#endif

#endif /* PARING_TEXT_BRIDGE_BRIDGE_H_ */
