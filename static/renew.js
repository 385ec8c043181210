// Renews the parts of a page that carry data-renew, every few seconds, while the page is looked at.
// Without this script the page has a link to refresh it.
"use strict";
const SECONDS = 5;
async function renew() {
  if (document.visibilityState === "visible") {
    const answer = await fetch(location.href, { headers: { "X-Renew": "1" }, credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-renew]")) {
      const newer = page.getElementById(part.id);
      if (!newer) { location.reload(); return; }
      if (newer.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) part.innerHTML = newer.innerHTML;
    }
    if (!page.querySelector("[data-renew]")) { location.reload(); return; }
  }
  setTimeout(renew, SECONDS * 1000);
}
if (document.querySelector("[data-renew]")) setTimeout(renew, SECONDS * 1000);
