// Walking through the cases and deciding on them, by mouse or keyboard.
//
// Served in Airflow's tab, decisions are kept by the site (`review` beside the pages). Opened from a disk there is
// nobody to keep them: they travel in the address (#r=…) from page to page, and the page of the cohort turns them into
// lines for the sign-off form. Text is only ever put in as text.
"use strict";
(function () {
  const $ = (id) => document.getElementById(id);
  const here = document.body.dataset;
  const served = location.protocol.startsWith("http");
  const rows = [...document.querySelectorAll("#cases tbody tr")];
  let decisions = served ? {} : carried();
  let may = !served;
  let why = "";
  let chosen = here.page === "case" ? here : null;
  let asking = "exclude";

  function carried() {
    try { return JSON.parse(decodeURIComponent(location.hash.match(/^#r=(.*)$/)[1])); } catch { return {}; }
  }

  function carry() {
    location.replace("#r=" + encodeURIComponent(JSON.stringify(decisions)));
  }

  async function ask(body) {
    const answer = await fetch("review", body === undefined ? { cache: "no-store" } : {
      method: "POST", body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", "X-Konsil-Review": "1" },
    });
    const content = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(typeof content.detail === "string" ? content.detail : "The site did not answer.");
    may = content.may;
    why = content.why;
    decisions = content.cases;
  }

  async function decide(decision, artifacts, note) {
    const name = chosen.case;
    if (!served) {
      if (decision) decisions[name] = { decision, reason: words(artifacts, note), verdict: chosen.verdict };
      else delete decisions[name];
      carry();
    } else {
      await ask({ case: name, decision, artifacts, note, seen: chosen.seen });
    }
    show();
  }

  function words(artifacts, note) {
    const labels = artifacts.map((key) => document.querySelector(`#why input[value="${key}"]`).parentElement.textContent.trim());
    return [labels.join("; "), note.trim()].filter(Boolean).join(": ");
  }

  function tell(place, found) {
    place.replaceChildren();
    if (!found) return;
    const say = (tag, name, text) => {
      if (!text) return;
      const part = document.createElement(tag);
      part.className = name;
      part.textContent = text;
      place.append(part, " ");
    };
    say("b", found.decision, found.decision === "exclude" ? "✕ excluded" : "✓ accepted");
    say("b", "outdated", found.outdated ? "outdated: the images or measures changed since, decide again" : "");
    say("span", "because", found.reason);
    say("span", "who", found.by ? `${found.by}, ${found.at.slice(0, 16).replace("T", " ")} UTC` : "");
  }

  function show() {
    for (const row of rows) tell(row.querySelector(".decision"), decisions[row.dataset.case]);
    const found = chosen && decisions[chosen.case];
    tell($("state"), found);
    for (const id of ["accept", "exclude", "undo"]) $(id).disabled = !may || !chosen || !chosen.seen;
    $("undo").hidden = !found;
    const decided = rows.filter((row) => (decisions[row.dataset.case] || { outdated: true }).outdated !== true).length;
    if (!chosen && may) $("state").textContent = `${decided} of ${rows.length} decided`;
    if (!may && !found) $("state").textContent = why;
    if (!served && $("typed")) typed();
  }

  function typed() {
    const lines = (decision) => Object.keys(decisions).sort().filter((name) => decisions[name].decision === decision)
      .map((name) => `${name}: ${decisions[name].reason || "looked at and accepted"}`).join("\n");
    $("typed-exclude").value = lines("exclude");
    $("typed-accept").value = lines("accept");
    $("typed").hidden = !Object.keys(decisions).length;
  }

  function problem(error, place) {
    const line = document.createElement("span");
    line.className = "problem";
    line.textContent = error.message;
    place.replaceChildren(line);
  }

  function attempt(decision, artifacts, note, place) {
    return decide(decision, artifacts, note).then(() => true, (error) => { problem(error, place); return false; });
  }

  function accept() {
    if ($("accept").disabled) return;
    if (chosen.verdict === "fail") open("accept"); else attempt("accept", [], "", $("state"));
  }

  function open(decision) {
    if ($("exclude").disabled) return;
    asking = decision;
    $("why-title").textContent = (decision === "exclude" ? "Exclude " : "Accept, although the verdict is fail: ") + chosen.case;
    $("why-hint").hidden = $("why").querySelector(".choices-list").hidden = decision === "accept";
    for (const box of $("why").querySelectorAll("input[type=checkbox]")) box.checked = false;
    $("why-note").value = "";
    $("why-problem").replaceChildren();
    $("why").showModal();
    if (decision === "accept") $("why-note").focus();
  }

  async function save() {
    const ticked = [...$("why").querySelectorAll("input:checked")].map((box) => box.value);
    const note = $("why-note").value;
    if (!ticked.length && !note.trim()) return problem(new Error("A reason is needed."), $("why-problem"));
    if (await attempt(asking, ticked, note, $("why-problem"))) $("why").close();
  }

  function choose(row) {
    for (const other of rows) other.classList.toggle("chosen", other === row);
    chosen = row.dataset;
    $("chosen").textContent = chosen.case;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    show();
  }

  function sift() {
    const only = document.querySelector("#sieve [aria-pressed=true]").dataset.only;
    const wanted = $("wanted").value.trim().toLowerCase();
    const open = $("undecided").checked;
    let shown = 0;
    for (const row of rows) {
      const found = decisions[row.dataset.case];
      const fits = (!only || row.dataset.verdict === only) && (!open || !found || found.outdated)
        && (!wanted || row.textContent.toLowerCase().includes(wanted));
      row.hidden = !fits;
      shown += fits;
    }
    $("sifted").textContent = shown === rows.length ? "" : `${shown} of ${rows.length} shown`;
  }

  function step(by) {
    if (here.page === "case") return follow($(by > 0 ? "after" : "before"));
    const order = [...document.querySelectorAll("#cases tbody tr:not([hidden])")];
    const now = order.findIndex((row) => row.classList.contains("chosen"));
    const next = order[Math.min(order.length - 1, Math.max(0, now + (now < 0 ? 1 : by)))];
    if (next) choose(next);
  }

  function follow(link) {
    if (link && !link.hidden) link.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, view: window }));
  }

  function sort(button) {
    const head = button.closest("th");
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of document.querySelectorAll("#cases th[aria-sort]")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = {
      name: (row) => row.dataset.case, order: (row) => Number(row.dataset.order),
      moved: (row) => Number(row.dataset.moved), decided: (row) => (decisions[row.dataset.case] || {}).decision || "",
    }[button.dataset.sort];
    const sorted = [...rows].sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0));
    document.querySelector("#cases tbody").append(...(down ? sorted.reverse() : sorted));
  }

  const keys = {
    j: () => step(1), ArrowRight: () => step(1), k: () => step(-1), ArrowLeft: () => step(-1),
    a: accept, e: () => open("exclude"), u: () => $("undo").click(), c: () => follow($("up")), v: () => follow($("viewer")),
    "?": () => $("help").showModal(), "/": () => $("wanted") && $("wanted").focus(),
    Enter: () => chosen && here.page === "cohort" && follow(document.querySelector(".chosen td:nth-child(2) a")),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if ($("why").open) { if (event.key === "Enter" && event.target.tagName !== "BUTTON") { event.preventDefault(); save(); } return; }
    if ($("help").open || /INPUT|TEXTAREA|SUMMARY/.test(event.target.tagName)) return;
    if (event.key === "Enter" && /BUTTON|A/.test(event.target.tagName)) return;
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (link && !served && /^[^#]+\.html/.test(link.getAttribute("href")))
      link.setAttribute("href", link.getAttribute("href").split("#")[0] + location.hash);
    const row = event.target.closest("#cases tbody tr");
    if (row && !link) choose(row);
  });

  for (const button of document.querySelectorAll("[data-sort]")) button.addEventListener("click", () => sort(button));
  if ($("sieve")) {
    for (const button of document.querySelectorAll("[data-only]")) {
      button.addEventListener("click", () => {
        for (const other of document.querySelectorAll("[data-only]")) other.setAttribute("aria-pressed", String(other === button));
        sift();
      });
    }
    $("undecided").addEventListener("change", sift);
    $("wanted").addEventListener("input", sift);
  }
  $("accept").addEventListener("click", accept);
  $("exclude").addEventListener("click", () => open("exclude"));
  $("undo").addEventListener("click", () => attempt(null, [], "", $("state")));
  $("ask").addEventListener("click", () => $("help").showModal());
  $("why-save").addEventListener("click", save);
  $("why-cancel").addEventListener("click", () => $("why").close());
  $("help-close").addEventListener("click", () => $("help").close());

  if (served && $("viewer")) {
    $("viewer").setAttribute("href", `../../viewer/${here.cohort}/${here.case}.html`);
    $("viewer").hidden = false;
  }
  show();
  if (served) ask().then(show, (error) => problem(error, $("state")));
})();
