// Writes times in the zone of this browser, and names it. Without this file, they stand in the zone
// of the machine that serves the page, which is named, too.
"use strict";

{
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const format = new Intl.DateTimeFormat("en-GB", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
    hourCycle: "h23", timeZoneName: "short",
  });

  function written(moment) {
    const parts = Object.fromEntries(format.formatToParts(moment).map((p) => [p.type, p.value]));
    const day = `${parts.year}-${parts.month}-${parts.day}`;
    return `${day} ${parts.hour}:${parts.minute} ${parts.timeZoneName}`;
  }

  function localise(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (!isNaN(moment)) time.textContent = written(moment);
      time.title = zone;
    }
  }

  // The server counts weeks by this browser's days. No name of a zone has a character that a cookie
  // cannot have.
  document.cookie = `vidwatch-zone=${zone}; Path=/; SameSite=Strict; Max-Age=31536000`;
  const isSet = document.cookie.split("; ").includes(`vidwatch-zone=${zone}`);
  const counted = document.querySelector("[data-zone]")?.dataset.zone;
  if (counted && counted !== zone && isSet && sessionStorage.getItem("zone") !== zone) {
    sessionStorage.setItem("zone", zone); // once, should the server not know the zone
    location.reload();
  }

  localise(document);
  new MutationObserver((changes) => {
    for (const change of changes) {
      for (const node of change.addedNodes) if (node.querySelectorAll) localise(node);
    }
  }).observe(document.body, {childList: true, subtree: true});
}
