// The pages of the tab Governance: times in the reader's own zone, and revoking a policy when somebody has confirmed it.
"use strict";
(function () {
  const $ = (id) => document.getElementById(id);
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.title = at.toISOString();
    time.textContent = at.toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  }
  let policy = "";

  async function revoke() {
    $("ask-do").disabled = true;
    try {
      const answer = await fetch(`governance/policies/${encodeURIComponent(policy)}/revoke`, {
        method: "POST", body: JSON.stringify({ why: $("ask-why").value }),
        headers: { "Content-Type": "application/json", "X-Konsil-Word": "1" },
      });
      const content = await answer.json().catch(() => ({}));
      if (!answer.ok) throw new Error(typeof content.detail === "string" ? content.detail : "The server did not answer.");
      location.reload();
    } catch (error) {
      $("ask-problem").textContent = error.message;
      $("ask-do").disabled = false;
    }
  }

  for (const button of document.querySelectorAll("[data-policy]")) {
    button.addEventListener("click", () => {
      policy = button.dataset.policy;
      $("ask-title").textContent = `Revoke ${policy}`;
      $("ask-problem").textContent = "";
      $("ask-do").disabled = false;
      $("ask").showModal();
    });
  }
  if ($("ask-do")) $("ask-do").addEventListener("click", revoke);
})();
