// The panel beside the call: chat, files with their progress, drop targets. Renders the conversation that it is given.

import { icon } from "./view.js";
import { why } from "./transfer.js";

const $ = (id) => document.getElementById(id);

const UNITS = ["B", "kB", "MB", "GB", "TB"];
const size = (bytes) => {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** power).toFixed(power && bytes / 1000 ** power < 10 ? 1 : 0)} ${UNITS[power]}`;
};

/** A name of another participant, without characters that change the text direction or are invisible. */
const harmless = (name) => name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\u{fffd}");

const make = (tag, className, ...children) => {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
};

const own = (text) => {
  const element = document.createElement("bdi");
  element.textContent = text;
  return element;
};

const linked = /https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]}']/gu;

/** A text with its URLs as links. */
function withLinks(text) {
  const parts = [];
  let at = 0;
  for (const { 0: address, index } of text.matchAll(linked)) {
    const link = make("a", "", address);
    link.href = address;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    parts.push(text.slice(at, index), link);
    at = index + address.length;
  }
  return [...parts, text.slice(at)];
}

export class Panel {
  #talk; #people; #toast;
  #drawn = new Map(); // key of a line -> its element and what it shows
  #rates = new WeakMap(); // transfer -> {at, bytes, rate}
  #told = 0;

  /** @param people () => [{id, name, role}] */
  constructor(talk, people, toast) {
    this.#talk = talk;
    this.#people = people;
    this.#toast = toast;
    $("chat").addEventListener("click", () => this.open($("panel").hidden));
    $("panel-close").addEventListener("click", () => this.open(false));
    $("panel").addEventListener("keydown", (event) => event.key === "Escape" && this.open(false));
    $("say").addEventListener("submit", (event) => {
      event.preventDefault();
      if (talk.say($("say-text").value, $("say-to").value || null)) $("say-text").value = "";
      this.#grow();
    });
    $("say-text").addEventListener("input", () => this.#grow());
    $("say-text").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      $("say").requestSubmit();
    });
    $("say-files").addEventListener("change", () => {
      this.#send([...$("say-files").files], $("say-to").value || null);
      $("say-files").value = "";
    });
    this.#drops();
  }

  open(shown) {
    $("panel").hidden = !shown;
    $("chat").setAttribute("aria-pressed", String(shown));
    document.body.classList.toggle("talking", shown);
    if (shown) {
      this.#talk.read();
      this.#toast(null); // the messages are visible in the panel now
      $("say-text").focus();
      $("talk").scrollTop = $("talk").scrollHeight;
    } else {
      $("chat").focus();
    }
  }

  render() {
    const { lines } = this.#talk;
    if (!$("panel").hidden) this.#talk.unread = 0;
    $("unread").hidden = !this.#talk.unread;
    $("unread").textContent = this.#talk.unread > 99 ? "99+" : String(this.#talk.unread);
    $("talk-empty").hidden = lines.length > 0;
    this.#choices();
    this.#news(lines);
    const list = $("talk");
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const keys = new Set(lines.map(({ key }) => key));
    for (const [key, { element }] of this.#drawn) {
      if (keys.has(key)) continue;
      element.remove();
      this.#drawn.delete(key);
    }
    for (const line of lines) this.#line(line);
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  /** Shows a notice for a message while the panel is closed. */
  #news(lines) {
    const fresh = lines.filter(({ key, mine }) => key > this.#told && !mine);
    this.#told = lines.at(-1)?.key ?? this.#told;
    if (!$("panel").hidden) return;
    for (const { kind, name, via, text } of fresh.slice(-3)) {
      const letters = [...harmless(text)];
      const short = letters.length > 80 ? `${letters.slice(0, 79).join("")}…` : letters.join("");
      const told = via ? `${via} offers “${short}” from ${harmless(name)}` : `${name} sends “${short}”`;
      this.#toast(kind === "file" ? told : `${name}: ${short}`);
    }
  }

  #choices() {
    const select = $("say-to");
    const people = [["", "everyone"], ...this.#people().map(({ id, name }) => [id, name])];
    if (people.map(String).join("\n") === [...select.options].map((one) => String([one.value, one.text])).join("\n")) return;
    const chosen = select.value;
    select.replaceChildren(...people.map(([id, name]) => new Option(name, id)));
    select.value = people.some(([id]) => id === chosen) ? chosen : "";
  }

  #line(line) {
    let drawn = this.#drawn.get(line.key);
    if (!drawn) {
      const who = [line.mine ? "You" : harmless(line.name), line.to && ` to ${line.to}`].filter(Boolean).join("");
      const time = make("time", "", line.at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
      const element = make("li", line.mine ? "mine" : "", make("p", "who", own(who), " ", time));
      drawn = { element, tracks: new Map() };
      if (line.kind === "text") element.append(make("p", "text", ...withLinks(line.text)));
      else this.#file(line, drawn);
      this.#drawn.set(line.key, drawn);
      $("talk").append(element);
    }
    if (line.kind === "file") this.#progress(line, drawn);
  }

  #file(line, drawn) {
    const name = own(harmless(line.text));
    name.title = name.textContent;
    drawn.via = make("p", "quiet");
    drawn.rows = make("div", "rows");
    drawn.actions = make("div", "actions");
    drawn.element.append(make("div", "file", icon("file"), make("div", "file-name", name, make("small", "", size(line.size))), drawn.via, drawn.rows, drawn.actions));
    if (!line.mine) drawn.take = this.#button(drawn, "Save", () => this.#talk.take(line.key));
    drawn.cancel = this.#button(drawn, line.mine ? "Cancel" : "Decline", () => this.#talk.cancel(line.key));
    if (line.mine && !line.outgoing.length) drawn.rows.append(make("p", "quiet", "Nobody is here to receive it."));
  }

  #button(drawn, text, run) {
    const button = make("button", "small", text);
    button.type = "button";
    button.addEventListener("click", run);
    drawn.actions.append(button);
    return button;
  }

  #progress(line, drawn) {
    const all = line.incoming ? [{ name: null, transfer: line.incoming }] : line.outgoing;
    for (const { name, transfer } of all) {
      let row = drawn.tracks.get(transfer);
      if (!row) {
        const bar = document.createElement("progress");
        bar.max = Math.max(1, line.size);
        bar.setAttribute("aria-label", line.text);
        const words = make("small", "", "");
        row = { bar, words, element: make("div", "row", ...(name ? [own(name)] : []), bar, words) };
        drawn.tracks.set(transfer, row);
        drawn.rows.append(row.element);
      }
      row.element.hidden = Boolean(line.incoming) && transfer.state === "offered"; // no progress before the file is accepted
      row.bar.hidden = transfer.state === "absent";
      row.bar.value = transfer.state === "done" ? row.bar.max : transfer.bytes;
      row.bar.classList.toggle("failed", transfer.state === "ended");
      row.words.textContent = this.#words(line, transfer);
    }
    const over = all.every(({ transfer }) => transfer.over);
    drawn.cancel.hidden = over;
    drawn.via.hidden = !line.via;
    drawn.via.textContent = line.via ? `offered by ${line.via}` : "";
    if (!line.incoming) return;
    drawn.take.hidden = line.incoming.state !== "offered";
    drawn.cancel.textContent = ["offered", "absent"].includes(line.incoming.state) ? "Decline" : "Cancel";
    if (line.incoming.blob && !drawn.saved) this.#save(line, drawn);
  }

  #words(line, transfer) {
    switch (transfer.state) {
      case "waiting": return transfer.bytes ? "waiting for the connection" : "waiting";
      case "hashing": return "preparing";
      case "offered": return line.incoming ? "" : "offered";
      case "absent": return "not offered now: the sender has left";
      case "checking": return "verifying";
      case "done": return line.incoming ? "saved" : "received";
      case "ended": return why(transfer.reason);
      default: return this.#rate(transfer, line.size);
    }
  }

  #rate(transfer, total) {
    const now = performance.now();
    const last = this.#rates.get(transfer) ?? { at: now, bytes: transfer.bytes, rate: 0 };
    if (now - last.at > 500) {
      const rate = ((transfer.bytes - last.bytes) / (now - last.at)) * 1000;
      Object.assign(last, { at: now, bytes: transfer.bytes, rate: last.rate ? last.rate * 0.6 + rate * 0.4 : rate });
    }
    this.#rates.set(transfer, last);
    const percent = `${Math.floor((transfer.bytes / Math.max(1, total)) * 100)} %`;
    if (last.rate < 1) return percent;
    const left = Math.ceil((total - transfer.bytes) / last.rate);
    return `${percent} · ${size(last.rate)}/s · ${left > 90 ? `${Math.ceil(left / 60)} min` : `${left} s`}`;
  }

  /** Saves a received file as a browser download; can be repeated. */
  #save(line, drawn) {
    const link = make("a", "small", "Save again");
    link.href = URL.createObjectURL(line.incoming.blob);
    link.download = line.text;
    drawn.saved = true;
    link.click();
    drawn.actions.append(link);
  }

  #send(files, to) {
    if (!files.length) return;
    this.#talk.send(files, to);
    if ($("panel").hidden) this.open(true);
  }

  #drops() {
    const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files") && !$("call").hidden;
    const at = (event) => this.#people().find(({ id }) => id === event.target.closest?.("[data-person]")?.dataset.person);
    let depth = 0;
    const show = (shown, person) => {
      $("drop").hidden = !shown;
      $("drop").firstElementChild.textContent = person ? `Drop to send to ${person.name}` : "Drop to send to everyone";
    };
    addEventListener("dragenter", (event) => files(event) && (depth += 1));
    addEventListener("dragleave", (event) => files(event) && (depth -= 1) <= 0 && ((depth = 0), show(false)));
    addEventListener("dragover", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      show(true, at(event));
    });
    addEventListener("drop", (event) => {
      depth = 0;
      show(false);
      if (!files(event)) return;
      event.preventDefault();
      this.#send([...event.dataTransfer.files], at(event)?.id ?? null);
    });
  }

  #grow() {
    const text = $("say-text");
    text.style.height = "auto";
    text.style.height = `${Math.min(140, text.scrollHeight)}px`;
  }
}
