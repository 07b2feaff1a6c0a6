// SPDX-License-Identifier: Apache-2.0
// Thumbs and a corrected text below an answer. The server keeps one of each for an answer: a
// changed mind takes the place of what was said before.
import { giveFeedback, takeFeedbackBack } from "./answers.js";

const kThumbs = [["\u{1F44D}", "Good answer", true], ["\u{1F44E}", "Bad answer", false]];

function button(text, label, onClick) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", onClick);
  return made;
}

// `say(text, isBad)` tells the user; `keyOf()` is the key to send.
export class FeedbackView {
  constructor(answerId, textOf, { say, keyOf }) {
    Object.assign(this, { answerId, textOf, say, keyOf, kept: null, isBusy: false });
    this.thumbs = kThumbs.map(([sign, label, value]) => {
      const made = button(sign, label, () => this.rate(value));
      made.title = label;
      made.setAttribute("aria-pressed", "false");
      return made;
    });
    this.opener = button("Correct", "", () => this.open());
    this.opener.setAttribute("aria-expanded", "false");
    this.buttons = [...this.thumbs, this.opener];
    this.form = document.createElement("form");
    this.form.className = "correction";
    this.form.hidden = true;
    this.text = document.createElement("textarea");
    this.text.rows = 5;
    this.text.setAttribute("aria-label", "The answer as it should be");
    const save = button("Keep the correction", "", () => {});
    save.type = "submit";
    this.form.append(this.text, save, button("Cancel", "", () => this.close()));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.correct();
    });
  }

  // What `work` gives, or null: it failed, and the user knows why. One at a time.
  async attempt(work) {
    if (this.isBusy) return null;
    this.isBusy = true;
    try {
      return await work();
    } catch (problem) {
      this.say(`The feedback is not kept. ${problem.message}`, true);
      return null;
    } finally {
      this.isBusy = false;
    }
  }

  // The same thumb again takes it back.
  async rate(value) {
    const isBack = this.kept?.value === value;
    const done = await this.attempt(() => (isBack ? takeFeedbackBack(this.keyOf(), this.kept.id)
      : giveFeedback(this.keyOf(), { response_id: this.answerId, name: "thumb", type: "boolean", value })));
    if (!done) return;
    this.kept = isBack ? null : done;
    this.thumbs.forEach((thumb, place) =>
      thumb.setAttribute("aria-pressed", String(this.kept?.value === kThumbs[place][2])));
    this.say(isBack ? "Your thumb is taken back." : "Your thumb is kept.");
  }

  open() {
    this.form.hidden = false;
    this.opener.setAttribute("aria-expanded", "true");
    if (!this.text.value) this.text.value = this.textOf();
    this.text.focus();
  }

  close() {
    this.form.hidden = true;
    this.opener.setAttribute("aria-expanded", "false");
    this.opener.focus();
  }

  async correct() {
    const value = this.text.value.trim();
    if (value === "" || value === this.textOf().trim()) {
      this.say("Change the text first: it is the answer as it came.", true);
      return;
    }
    const done = await this.attempt(() => giveFeedback(this.keyOf(),
      { response_id: this.answerId, name: "correction", type: "correction", value }));
    if (!done) return;
    this.close();
    this.say("Your correction is kept.");
  }
}
