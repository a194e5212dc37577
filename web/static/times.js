// Times the server wrote in UTC, in the time of who reads them.
const format = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });

export function localTimes(root) {
  for (const element of root.querySelectorAll("[data-time]")) {
    element.textContent = format.format(new Date(Number(element.dataset.time) * 1000));
  }
}
