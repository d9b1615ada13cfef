"""Draws a fitted head with its photograph on it, moved, turned and lit, without a screen (OpenGL over EGL)."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.errors import EngineUnavailable
from train.data.synthetic.fit import Fitted
from train.data.synthetic.mesh import Floats, Mesh

EDGE = 192  # px of the drawn frame; the crop takes about four fifths of it
EYES = (range(36, 42), range(42, 48))
FAINT, BRIGHT = 0.45, 1.7  # limits of what light may do to the photograph
AMBIENT = 0.45
BACKEND: dict[str, Any] = {"backend": "egl"}  # without a screen
DEPTH = 40.0  # units in front of and behind the head that are drawn

VERTEX = """
#version 330
in vec3 place; in vec2 texture_at; in float light; in float cover;
out vec2 at; out float lit; out float covered;
void main() { gl_Position = vec4(place, 1.0); at = texture_at; lit = light; covered = cover; }
"""
FRAGMENT = """
#version 330
uniform sampler2D photograph; uniform vec4 paint;
in vec2 at; in float lit; in float covered; out vec4 colour;
void main() {
  if (covered < 0.01) discard;
  vec3 seen = mix(texture(photograph, at).rgb, paint.rgb, paint.a);
  colour = vec4(seen * lit, covered);
}
"""
PAINTS = {"mouth": (0.16, 0.06, 0.05), "gums": (0.50, 0.22, 0.20), "teeth": (0.88, 0.84, 0.77)}
"""Colours of what a closed mouth hides, before light: the photograph does not know them."""


@dataclass(frozen=True, slots=True)
class View:
    """How a head is held and lit when drawn."""

    turn_rad: tuple[float, float, float] = (
        0.0,
        0.0,
        0.0,
    )  # about x (nod), y (shake), z (tilt), on top of the photograph's
    eyes_px: float = 48.0  # distance of the eyes in the frame
    shift: tuple[float, float] = (0.0, 0.0)  # px in the frame
    light: tuple[float, float, float] = (0.0, 0.0, 1.0)  # towards the lamp: right, up, to the camera
    lamp: float = 0.0  # 0: the photograph's own light; 1: all of the new one
    folds: float = 1.0  # how strongly skin that turns away changes its brightness; 0: not at all
    mouth: float = 1.0  # brightness of teeth and gums


@dataclass(frozen=True, slots=True)
class Head:
    """A portrait, ready to be drawn: who it is and what the photograph shows."""

    fitted: Fitted
    photograph: NDArray[np.uint8]  # (H, W, 3) RGB
    eyes: NDArray[np.uint8]  # (H, W, 3) RGB: the photograph where eyes are, spread from their openings outwards
    normals: Floats  # (V, 3) at rest
    brightness: float  # 0..1 of the face


def head_of(mesh: Mesh, fitted: Fitted, photograph: NDArray[np.uint8]) -> Head:
    """What drawing needs of a fitted portrait."""
    landmarks = fitted.project(fitted.vertices)[mesh.landmarks]
    face = np.zeros(photograph.shape[:2], np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(landmarks[17:68].round().astype(np.int32)), 1)
    brightness = float(np.median(photograph[face > 0])) / 255 if face.any() else 0.5
    return Head(fitted, photograph, _spread_eyes(photograph, landmarks), mesh.normals(fitted.vertices), brightness)


def _spread_eyes(photograph: NDArray[np.uint8], landmarks: Floats) -> NDArray[np.uint8]:
    """Around each eye the nearest colour of its opening, so that lids that open further show more of the eye."""
    opening = np.full(photograph.shape[:2], 255, np.uint8)
    spread = photograph.copy()
    for eye in EYES:
        ring = landmarks[list(eye)]
        inner = ring.mean(0) + 0.8 * (ring - ring.mean(0))  # within the lashes
        cv2.fillPoly(opening, [inner.round().astype(np.int32)], 0)
    if opening.all():
        return spread
    _, nearest = cv2.distanceTransformWithLabels(opening, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours: NDArray[np.uint8] = np.zeros((int(nearest.max()) + 1, 3), np.uint8)
    colours[nearest[opening == 0]] = photograph[opening == 0]
    return np.asarray(colours[nearest], np.uint8)


class Renderer:
    """Draws heads of one mesh; close it, or use it as a context.

    Raises:
        EngineUnavailable: no moderngl, or no OpenGL without a screen.
    """

    def __init__(self, mesh: Mesh, edge: int = EDGE) -> None:
        try:
            import moderngl
        except ModuleNotFoundError as error:
            raise EngineUnavailable("moderngl is not installed; drawing needs: pip install 'mien[train]'") from error
        self.mesh, self.edge = mesh, edge
        try:
            self._context: Any = moderngl.create_context(standalone=True, require=330, **BACKEND)
        except Exception as error:  # the loader raises bare Exceptions for a missing library
            raise EngineUnavailable(f"no OpenGL 3.3 without a screen ({error}); wanted EGL, such as Mesa's") from error
        self._program: Any = self._context.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
        self._vertices = self._context.buffer(reserve=len(mesh.neutral) * 7 * 4, dynamic=True)
        self._parts = {part: self._array(triangles) for part, triangles in mesh.triangles.items()}
        self._plane = self._context.buffer(reserve=4 * 7 * 4, dynamic=True)
        self._backdrop = self._context.vertex_array(
            self._program, [(self._plane, "3f 2f 1f 1f", "place", "texture_at", "light", "cover")]
        )
        colour, depth = self._context.texture((edge, edge), 4), self._context.depth_renderbuffer((edge, edge))
        self._frame = self._context.framebuffer([colour], depth)
        self._cover = cover(mesh.neutral)

    def _array(self, triangles: NDArray[np.int32]) -> Any:
        return self._context.vertex_array(
            self._program,
            [(self._vertices, "3f 2f 1f 1f", "place", "texture_at", "light", "cover")],
            index_buffer=self._context.buffer(np.ascontiguousarray(triangles).tobytes()),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        self._context.release()

    def draw(
        self, head: Head, moved: Floats, view: View, creases: Floats | float = 1.0
    ) -> tuple[NDArray[np.uint8], Floats]:
        """The picture (edge, edge, 3) u8 RGB, and where the 68 landmarks lie in it, px.

        Args:
            head: who.
            moved: (V, 3) what expressions add to the vertices.
            view: how it is held and lit.
            creases: (V,) what they leave of the light.
        """
        vertices = head.fitted.vertices + moved
        linear, shift = self._camera(head, view)
        placed = vertices @ linear.T.astype(np.float32)
        placed[:, :2] += shift
        self._write(head, vertices, placed, light(head.normals, self.mesh.normals(vertices), view) * creases)
        self._draw(head, linear, shift, view)
        drawn = np.frombuffer(self._frame.read(components=3, alignment=1), np.uint8)
        return drawn.reshape(self.edge, self.edge, 3).copy(), placed[self.mesh.landmarks, :2]

    def _camera(self, head: Head, view: View) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """(3, 3) and (2,): from the mesh to px of the frame, the photograph's pose turned further."""
        turn = np.eye(3)
        for axis, angle in zip(np.eye(3), view.turn_rad, strict=True):
            turn = np.asarray(cv2.Rodrigues(axis * angle)[0], np.float64) @ turn
        at_rest = head.fitted.vertices[self.mesh.landmarks]
        eyes = [at_rest[list(eye)].mean(0).astype(float) for eye in EYES]
        apart = float(np.linalg.norm(head.fitted.linear @ (eyes[1] - eyes[0])))
        linear = turn @ head.fitted.linear * (view.eyes_px / apart)
        middle = at_rest[27:].mean(0).astype(float)
        return linear, (self.edge / 2 + np.array(view.shift) - linear[:2] @ middle).astype(np.float32)

    def _write(self, head: Head, vertices: Floats, placed: Floats, lit: Floats) -> None:
        scale = (head.photograph.shape[1], head.photograph.shape[0])
        rows = np.empty((len(vertices), 7), np.float32)
        rows[:, :3] = self._clip(placed)
        rows[:, 3:5] = head.fitted.project(head.fitted.vertices) / scale
        rows[:, 5] = lit
        rows[:, 6] = self._cover
        self._vertices.write(rows.tobytes())

    def _clip(self, placed: Floats) -> Floats:
        """Px of the frame -> OpenGL's cube; row 0 of the frame is read first, so nothing is turned over."""
        clip = placed * np.float32(2 / self.edge)
        clip[:, :2] -= 1
        clip[:, 2] = placed[:, 2] / np.float32(DEPTH * self.edge / 8)
        return clip

    def _draw(self, head: Head, linear: NDArray[np.float64], shift: NDArray[np.float32], view: View) -> None:
        context = self._context
        photograph, eyes = self._texture(head.photograph), self._texture(head.eyes)
        self._frame.use()
        self._frame.clear(0.5, 0.5, 0.5, 1.0)
        context.enable_only(context.BLEND)
        photograph.use(0)
        self._program["paint"].value = (0, 0, 0, 0)
        self._plane.write(self._plane_rows(head, linear, shift).tobytes())
        self._backdrop.render(context.TRIANGLE_STRIP)
        context.enable(context.DEPTH_TEST)
        self._parts["skin"].render()
        for part, paint in PAINTS.items():
            bright = view.mouth * (0.35 + 0.75 * head.brightness)
            self._program["paint"].value = (*(min(1.0, each * bright) for each in paint), 1.0)
            self._parts[part].render()
        eyes.use(0)
        self._program["paint"].value = (0, 0, 0, 0)
        self._parts["eyes"].render()
        photograph.release()
        eyes.release()

    def _plane_rows(self, head: Head, linear: NDArray[np.float64], shift: NDArray[np.float32]) -> Floats:
        """The photograph as a plane through the head: hair, ears and shoulders turn with it."""
        height, width = head.photograph.shape[:2]
        corners = np.array([(-1.0, -1.0), (2, -1), (-1, 2), (2, 2)])  # three times the picture, its border replicated
        back = np.linalg.inv(head.fitted.linear)
        middle = head.fitted.vertices[self.mesh.landmarks[:17]].mean(0).astype(float)  # depth of the jaw line
        depth = float((head.fitted.linear @ middle)[2])
        px = corners * (width, height) - head.fitted.shift
        points = np.column_stack([px, np.full(4, depth)]) @ back.T
        placed = points @ linear.T + np.array([*shift, 0.0])
        rows = np.zeros((4, 7), np.float32)
        rows[:, :3] = self._clip(placed.astype(np.float32))
        rows[:, 2] = 0.0
        rows[:, 3:5], rows[:, 5:] = corners, 1.0
        return rows

    def _texture(self, picture: NDArray[np.uint8]) -> Any:
        height, width = picture.shape[:2]
        texture = self._context.texture((width, height), 3, np.ascontiguousarray(picture).tobytes(), alignment=1)
        texture.repeat_x = texture.repeat_y = False
        texture.build_mipmaps()
        return texture


def light(at_rest: Floats, moved: Floats, view: View) -> Floats:
    """(V,) by how much light on moved skin differs from the photograph's: a ratio image.

    The photograph is taken to be lit from the front. Source: Liu, Shan & Zhang, «Expressive Expression Mapping with
    Ratio Images», SIGGRAPH 2001.
    """
    lamp = np.asarray(view.light, np.float32) / np.float32(np.linalg.norm(view.light))
    before = AMBIENT + (1 - AMBIENT) * np.maximum(0.0, at_rest[:, 2])
    folded = AMBIENT + (1 - AMBIENT) * np.maximum(0.0, moved[:, 2])
    turned = AMBIENT + (1 - AMBIENT) * np.maximum(0.0, moved @ lamp)
    there = np.abs(at_rest).sum(1) > 0
    ratio = (folded / before) ** view.folds * (turned / folded) ** view.lamp
    return np.where(there, np.clip(ratio, FAINT, BRIGHT), 1.0).astype(np.float32)


def cover(neutral: Floats) -> Floats:
    """(V,) 1 in the face, 0 where hair and clothes would be: there the photograph's own plane shows through."""
    aside = (np.abs(neutral[:, 0]) - 5.8) / 1.6
    above, below = (neutral[:, 1] - 7.0) / 3.0, (-8.5 - neutral[:, 1]) / 4.0
    behind = (5.0 - neutral[:, 2]) / 3.0
    hidden = np.clip(np.maximum.reduce([aside, above, below, behind]), 0, 1)
    shown: Floats = (1 - hidden * hidden * (3 - 2 * hidden)).astype(np.float32)
    return shown
