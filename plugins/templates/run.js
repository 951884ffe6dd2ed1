// The page of a run: puts what is new in place of what was there, and sends a word when somebody has confirmed it.
//
// The markup comes from this server, escaped there. Times are shown in the reader's own time zone.
"use strict";
(function () {
  const EVERY_MS = 5000;
  const PARTS = ["standing", "sites", "curves", "rounds", "words"];
  const $ = (id) => document.getElementById(id);
  const WORDS = {
    pause: ["Pause the run", "Nothing new begins and no deadline runs until it goes on. What is being trained is finished and kept.", "Pause", "every site reads it"],
    resume: ["Let the run go on", "Everybody takes up where they stopped.", "Go on", "optional"],
    exclude: ["Exclude a site", "Nothing of this site enters any model from now on. This cannot be taken back.", "Exclude", "needed; every site reads it"],
    extend: ["More rounds", "The run goes on from its released model, as far as its charter allows.", "Extend", "optional"],
    abort: ["Abort the run", "The run ends without a model, for everybody. This cannot be taken back.", "Abort", "needed; every site reads it"],
    hold: ["Pause at this site", "What is under way is finished, nothing new begins here. The others are not told: they wait for this site as the charter says, and go on without it.", "Pause here", "stays in this site's log"],
    go_on: ["Go on at this site", "This site works on the newest model from now on.", "Go on here", ""],
    leave: ["Leave for good", "Nothing more of this site goes out. What was sent before stays in its rounds. There is no way back into this run.", "Leave", "the centre reads it"],
  };
  let may = {};
  let word = "";

  function localTimes(place) {
    for (const time of place.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      const today = at.toDateString() === new Date().toDateString();
      const how = today ? {} : { day: "numeric", month: "short" };
      time.textContent = at.toLocaleString("en-GB", { ...how, hour: "2-digit", minute: "2-digit" });
      time.title = at.toISOString();
    }
  }

  function rights(given) {
    may = given;
    for (const button of $("actions").querySelectorAll("button[data-word]")) {
      const can = may[button.dataset.word];
      button.hidden = !(Array.isArray(can) ? can.length : can);
    }
  }

  function put(content) {
    for (const name of PARTS) {
      const place = $(name);
      if (place.dataset.last === content.parts[name]) continue;
      place.dataset.last = content.parts[name];
      const scrolled = [...place.querySelectorAll(".scroll")].map((part) => [part.scrollLeft, part.scrollTop]);
      place.innerHTML = content.parts[name];
      [...place.querySelectorAll(".scroll")].forEach((part, number) => {
        [part.scrollLeft, part.scrollTop] = scrolled[number] || [0, 0];
      });
      localTimes(place);
    }
    rights(content.may);
    $("fresh").textContent = "as of " + new Date().toLocaleTimeString("en-GB");
    $("fresh").className = "";
  }

  async function answered(answer) {
    const content = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(typeof content.detail === "string" ? content.detail : "The server did not answer.");
    return content;
  }

  async function look() {
    try {
      if (!document.hidden) put(await answered(await fetch("now", { cache: "no-store" })));
    } catch (error) {
      const why = error.name === "TypeError" ? "The server does not answer." : error.message;
      $("fresh").textContent = "not refreshed: " + why;
      $("fresh").className = "problem";
    }
    setTimeout(look, EVERY_MS);
  }

  function ask(name) {
    word = name;
    const [title, what, verb, why] = WORDS[name];
    $("ask-title").textContent = title;
    $("ask-what").textContent = what;
    $("ask-do").textContent = verb;
    $("ask-do").disabled = false;
    $("ask-problem").textContent = "";
    $("ask-why").hidden = !why;
    $("ask-why").querySelector("span").textContent = `(${why})`;
    $("ask-why").querySelector("input").value = "";
    $("ask-site").hidden = name !== "exclude";
    $("ask-rounds").hidden = name !== "extend";
    if (name === "exclude") $("ask-site").querySelector("select").replaceChildren(new Option("choose…", ""), ...may.exclude.map((site) => new Option(site, site)));
    if (name === "extend") $("ask-rounds").querySelector("input").max = may.extend;
    $("ask").showModal();
  }

  async function say() {
    const asked = { word, why: $("ask-why").querySelector("input").value };
    if (word === "exclude") asked.site = $("ask-site").querySelector("select").value;
    if (word === "extend") asked.rounds = Number($("ask-rounds").querySelector("input").value);
    $("ask-do").disabled = true;
    try {
      put(await answered(await fetch("words", {
        method: "POST", body: JSON.stringify(asked), headers: { "Content-Type": "application/json", "X-Konsil-Word": "1" },
      })));
      $("ask").close();
    } catch (error) {
      $("ask-problem").textContent = error.message;
      $("ask-do").disabled = false;
    }
  }

  localTimes(document);
  for (const button of $("actions").querySelectorAll("button[data-word]")) button.addEventListener("click", () => ask(button.dataset.word));
  $("ask-do").addEventListener("click", say);
  $("ask").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.tagName === "INPUT") { event.preventDefault(); say(); }
  });
  rights(JSON.parse($("actions").dataset.may));
  setTimeout(look, EVERY_MS);
})();
