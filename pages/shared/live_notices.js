// Tells of ended runs on the desktop, after a person has switched it on in this browser.
const ON = "em-notices", TOLD = "em-notices-told", KNOWN = "em-notices-known", OLDEST = "em-notices-oldest";
const KEPT = 500;

function read(store, key) {
  try {
    const value = JSON.parse(store.getItem(key));
    return Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function write(store, key, ids) {
  try {
    store.setItem(key, JSON.stringify(ids.slice(-KEPT)));
  } catch {
    // a full or forbidden store: a notification may come twice
  }
}

function isOn() {
  try {
    return localStorage.getItem(ON) === "on" && Notification.permission === "granted";
  } catch {
    return false;
  }
}

function unavailable() {
  if (!window.isSecureContext) return "Desktop notifications need https, or the app opened as localhost.";
  if (!("Notification" in window)) return "This browser has no desktop notifications.";
  return "";
}

// One tab at a time looks and notes, so that several tabs tell an end once.
async function once(id, tell) {
  const check = () => {
    const told = read(localStorage, TOLD) ?? [];
    if (told.includes(id)) return;
    write(localStorage, TOLD, [...told, id]);
    tell();
  };
  await (navigator.locks ? navigator.locks.request(TOLD, check) : check());
}

function notify(run, say) {
  try {
    const shown = new Notification(run.title, { body: run.body, tag: run.id });
    shown.onclick = () => {
      window.focus();
      shown.close();
    };
  } catch {
    say("This browser shows no notifications of pages.");
  }
}

// `more`: there are older ends than these. They are no news when they move up because a newer one was deleted.
function news(ended, more) {
  const known = read(sessionStorage, KNOWN);
  if (known === null) write(sessionStorage, OLDEST, [more ? Math.min(...ended.map((run) => run.t)) : 0]);
  const oldest = read(sessionStorage, OLDEST)?.[0] ?? 0;
  const fresh = known === null ? [] : ended.filter((run) => run.t >= oldest && !known.includes(run.id));
  write(sessionStorage, KNOWN, [...(known ?? []), ...(known === null ? ended : fresh).map((run) => run.id)]);
  return fresh;
}

export default function (component) {
  const { parentElement, data } = component;
  const button = parentElement.querySelector("button");
  const words = parentElement.querySelector("span");
  const say = (text) => {
    words.textContent = text;
  };
  const show = () => {
    const why = unavailable();
    button.hidden = Boolean(why) || Notification.permission === "denied";
    if (why) return say(why);
    if (Notification.permission === "denied") {
      return say("Desktop notifications are blocked in this browser: allow them for this address in its site settings.");
    }
    const on = isOn();
    button.textContent = on ? "Switch desktop notifications off" : "Notify me on this desktop";
    button.setAttribute("aria-pressed", String(on));
    say(on ? "You are told when a run ends while this page is open in a tab." : "");
  };
  button.onclick = async () => {
    const on = isOn();
    if (!on && Notification.permission !== "granted") await Notification.requestPermission();
    try {
      localStorage.setItem(ON, on ? "off" : "on");
    } catch {
      say("This browser keeps no settings of this page.");
      return;
    }
    show();
  };
  show();
  for (const run of news(data.ended, data.more)) {
    if (isOn()) once(run.id, () => notify(run, say));
  }
}
