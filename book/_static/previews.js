// What a link leads to, shown beside it on hover and on focus: chapters, citations, equations, terms. Escape closes it.
document.addEventListener('DOMContentLoaded', () => {
  const known = window.bookPreviews || {};
  const root = new URL(document.documentElement.dataset.content_root || './', location.href);
  const box = document.createElement('div');
  box.id = 'preview';
  box.className = 'preview';
  box.setAttribute('role', 'tooltip');
  box.hidden = true;
  document.body.append(box);
  let waiting;

  const contentOf = (link) => {
    const url = new URL(link.href, location.href);
    if (!url.href.startsWith(root.href)) return null;
    const key = decodeURIComponent(url.href.slice(root.href.length));
    return known[key] || (url.pathname !== location.pathname && known[key.split('#')[0]]) || null;
  };
  const hide = () => {
    clearTimeout(waiting);
    box.hidden = true;
    document.querySelector('[aria-describedby="preview"]')?.removeAttribute('aria-describedby');
  };
  const show = (link) => {
    const content = contentOf(link);
    if (!content) return;
    box.innerHTML = content;
    for (const inner of box.querySelectorAll('[id]')) inner.removeAttribute('id');
    box.hidden = false;
    link.setAttribute('aria-describedby', 'preview');
    const at = link.getBoundingClientRect();
    const left = Math.min(at.left, document.documentElement.clientWidth - box.offsetWidth - 12);
    const below = at.bottom + box.offsetHeight + 8 < window.innerHeight;
    box.style.left = `${Math.max(8, left) + window.scrollX}px`;
    box.style.top = `${(below ? at.bottom + 6 : at.top - box.offsetHeight - 6) + window.scrollY}px`;
    if (window.MathJax?.typesetPromise) window.MathJax.typesetPromise([box]);
  };
  const linkOf = (event) => event.target.closest?.('article a[href]:not(.headerlink)');
  document.addEventListener('mouseover', (event) => {
    const link = linkOf(event);
    if (box.contains(event.target) || (link && link.hasAttribute('aria-describedby'))) { clearTimeout(waiting); return; }
    clearTimeout(waiting);  // the pointer may cross a gap on its way from the link to the preview
    waiting = setTimeout(() => { hide(); if (link) show(link); }, 250);
  });
  document.addEventListener('focusin', (event) => { hide(); if (linkOf(event)) show(linkOf(event)); });
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') hide(); });
});
