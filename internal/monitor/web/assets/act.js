// Buttons that ask a superdaemon for something, if the monitor is allowed to.
"use strict";

const act = {allow: [], token: ""};

act.names = {restart: "Restart", rollback: "Roll back", promote: "Promote", workers: "Set workers", stop: "Stop"};

// buttons are those of one superdaemon. What is going on stands below them.
act.buttons = control => {
  const bar = draw.make("div", "acts"), told = draw.make("p", "told"), log = draw.make("pre");
  log.hidden = true;
  told.setAttribute("role", "status");
  const count = draw.make("input");
  count.type = "number";
  count.min = 1;
  count.max = 10000;
  count.setAttribute("aria-label", "number of workers");
  for (const command of Object.keys(act.names).filter(c => act.allow.includes(c))) {
    const button = draw.make("button", "", act.names[command]);
    button.type = "button";
    button.addEventListener("click", () => act.sure(button, command, () => act.ask(bar, told, log, control, command, Number(count.value))));
    if (command === "workers") bar.append(count);
    bar.append(button);
  }
  return {bar, told, log, count};
};

// sure has a stop asked for twice.
act.sure = (button, command, go) => {
  if (command !== "stop" || button.classList.contains("sure")) {
    button.classList.remove("sure");
    button.textContent = act.names[command];
    go();
    return;
  }
  button.classList.add("sure");
  button.textContent = "Really stop it?";
  setTimeout(() => {
    button.classList.remove("sure");
    button.textContent = act.names[command];
  }, 5000);
};

act.say = (told, kind, text) => {
  told.className = "told " + kind;
  told.textContent = text;
};

// ask sends what is asked for, and shows what comes of it.
act.ask = async (bar, told, log, control, command, workers) => {
  if (!act.token) {
    act.say(told, "no", "The token is missing: it goes into the field at the top.");
    document.getElementById("token").focus();
    return;
  }
  const buttons = bar.querySelectorAll("button");
  buttons.forEach(b => { b.disabled = true; });
  log.hidden = true;
  told.dataset.busy = command;
  act.say(told, "busy", command + ": asked for");
  try {
    const answer = await fetch("api/" + command, {
      method: "POST",
      headers: {"Content-Type": "application/json", "X-Start-Server-Monitor": "1", "Authorization": "Bearer " + act.token},
      body: JSON.stringify({control, workers: command === "workers" ? workers : undefined}),
    });
    const result = await answer.json();
    act.say(told, result.ok ? "ok" : "no", command + ": " + (result.ok ? act.done(result) : result.error));
    log.hidden = !(result.log ?? []).length;
    log.textContent = (result.log ?? []).join("\n");
  } catch (fault) {
    act.say(told, "no", command + ": no answer came (" + fault.message + "); the events tell how it goes");
  } finally {
    delete told.dataset.busy;
    buttons.forEach(b => { b.disabled = false; });
  }
};

act.done = result => result.generation ? "generation " + result.generation + " is live" : result.message || "done";

// progress shows an event below the buttons of its superdaemon while something is going on.
act.progress = (told, e) => {
  if (told.dataset.busy) act.say(told, "busy", told.dataset.busy + ": " + e.text);
};
