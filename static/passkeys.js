// Says on the page that a passkey did not work; allauth's script would tell the console alone.
document.addEventListener("allauth.error", function (event) {
  event.preventDefault();
  document.querySelectorAll("[data-passkey-error]").forEach(function (element) { element.hidden = false; });
});
