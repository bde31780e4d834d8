// The overview: what part of the picture is seen, and a click or a drag to see another.
const scroll = document.querySelector('.scroll'), map = document.querySelector('.map');
const view = map.querySelector('.view'), names = scroll.querySelector('.names');
const whole = map.viewBox.baseVal.width;

function look() {
  const seen = scroll.clientWidth - names.clientWidth;
  map.style.display = seen >= whole ? 'none' : '';
  view.setAttribute('x', scroll.scrollLeft);
  view.setAttribute('width', Math.min(seen, whole));
}

map.onpointerdown = map.onpointermove = event => {
  if (!(event.buttons & 1)) return;
  const box = map.getBoundingClientRect();
  scroll.scrollLeft = (event.clientX - box.left) / box.width * whole - scroll.clientWidth / 2;
};
scroll.onscroll = onresize = look;
look();
// What contradicts itself is seen first.
const guilty = scroll.querySelector('.bar.guilty');
if (guilty) scroll.scrollLeft = guilty.x.baseVal.value - 60;
