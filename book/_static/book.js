// One button shows or hides all code of a chapter.
document.addEventListener('DOMContentLoaded', () => {
  const folded = [...document.querySelectorAll('article details.hide')];
  const title = document.querySelector('article h1');
  if (!folded.length || !title) return;
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'show-code';
  const label = () => {
    const open = folded.every((part) => part.open);
    button.textContent = open ? 'Hide all code' : 'Show all code';
    button.setAttribute('aria-pressed', String(open));
  };
  button.addEventListener('click', () => {
    const open = !folded.every((part) => part.open);
    folded.forEach((part) => { part.open = open; });
    label();
  });
  label();
  title.after(button);
});

// Tables that go on beyond the edge of their box say so.
addEventListener('load', () => {
  const boxes = document.querySelectorAll('article div:has(> table)');
  const look = (box) => box.classList.toggle('goes-on', box.scrollWidth - box.clientWidth - box.scrollLeft > 1);
  const watch = new ResizeObserver((entries) => entries.forEach((entry) => look(entry.target)));
  for (const box of boxes) {
    box.tabIndex = 0;
    box.addEventListener('scroll', () => look(box), { passive: true });
    watch.observe(box);
    look(box);
  }
});
