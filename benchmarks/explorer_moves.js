// Moves beta over its middle range and reports how long each picture took.
async count => {
  const input = document.getElementById('explorer-beta'), el = document.querySelector('.pce'), found = [];
  const next = () => new Promise(drawn => el.addEventListener("explorer-drawn",
    event => drawn(event.detail.milliseconds), {once: true}));
  for (let i = 0; i < count; i++) {
    const drawn = next();
    input.value = 0.8 + 0.05 * (i % 16);
    input.dispatchEvent(new Event('input', {bubbles: true}));
    found.push(await drawn);
    await new Promise(refreshed => requestAnimationFrame(refreshed));
    await new Promise(go => setTimeout(go, 17 + (i * 10.3) % 16.7));
  }
  return found;
}
