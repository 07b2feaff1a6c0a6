// SPDX-License-Identifier: Apache-2.0
// Shows what a model said: fenced code, headings, bold, code in lines; all else as it is. Every
// piece becomes a text node of an element made here, so no text can turn into markup or a link.

const kFence = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)[^`]*$/;

// The answer as blocks: {kind: "code" | "text", language, lines}. A fence that is still open goes to
// the end, so that code is code while it streams.
function blocksOf(text) {
  const blocks = [];
  let open = null;
  let fence = "";
  for (const line of text.split("\n")) {
    if (fence) {
      const closing = line.trim();
      if (closing.length >= fence.length && closing === fence[0].repeat(closing.length)) {
        fence = "";
        open = null;
      } else {
        open.lines.push(line);
      }
      continue;
    }
    const begin = kFence.exec(line);
    if (begin) {
      fence = begin[1];
      open = { kind: "code", language: begin[2], lines: [] };
      blocks.push(open);
      continue;
    }
    if (!open) {
      open = { kind: "text", language: "", lines: [] };
      blocks.push(open);
    }
    open.lines.push(line);
    // A paragraph that is complete is not made again for each token.
    if (line.trim() === "") open = null;
  }
  return blocks;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// `code` and **bold** in a line.
function appendLine(parent, line) {
  for (const piece of line.split(/(`[^`]+`|\*\*[^*]+\*\*)/)) {
    if (piece.length > 2 && piece.startsWith("`") && piece.endsWith("`")) {
      parent.append(element("code", "inline", piece.slice(1, -1)));
    } else if (piece.length > 4 && piece.startsWith("**") && piece.endsWith("**")) {
      parent.append(element("strong", "", piece.slice(2, -2)));
    } else if (piece) {
      parent.append(piece);
    }
  }
}

function textBlock(block) {
  const made = element("div", "text");
  block.lines.forEach((line, i) => {
    const heading = /^ {0,3}#{1,6} (.*)$/.exec(line);
    if (heading) {
      const title = element("h3", "");
      appendLine(title, heading[1]);
      made.append(title);
      return;
    }
    appendLine(made, line);
    if (i + 1 < block.lines.length) made.append("\n");
  });
  return made;
}

function codeBlock(block, copy) {
  const made = element("div", "code");
  const bar = element("div", "bar");
  const code = element("code", "", block.lines.join("\n"));
  const button = element("button", "", "Copy code");
  button.type = "button";
  button.addEventListener("click", () => copy(code.textContent));
  bar.append(element("span", "", block.language || "code"), button);
  const pre = element("pre", "");
  pre.tabIndex = 0; // so that the keyboard can scroll it
  pre.append(code);
  made.append(bar, pre);
  return made;
}

// Keeps `parent` showing a text that grows: only blocks that changed are made again.
export class MarkdownView {
  constructor(parent, copy) {
    this.parent = parent;
    this.copy = copy;
    this.shown = []; // {source, node}
  }

  show(text) {
    const blocks = blocksOf(text);
    blocks.forEach((block, i) => {
      const source = JSON.stringify(block);
      const before = this.shown[i];
      if (before && before.source === source) return;
      const node = block.kind === "code" ? codeBlock(block, this.copy) : textBlock(block);
      if (before) before.node.replaceWith(node);
      else this.parent.append(node);
      this.shown[i] = { source, node };
    });
    for (const { node } of this.shown.splice(blocks.length)) node.remove();
  }
}
