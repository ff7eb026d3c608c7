// Which digit is on an image of 28x28 bytes?    digit [FILE]
#include "lenet5.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <vector>

static std::vector<float> seven()
{
    std::vector<float> image(784);
    for (int i = 6; i < 22; i++)
        image[6 * 28 + i] = image[7 * 28 + i] = 1;
    for (int i = 8; i < 23; i++)
        image[i * 28 + 25 - i * 2 / 3] = 1;
    return image;
}

int main(int argc, char **argv)
{
    std::vector<float> image = seven();
    if (argc > 1) {
        std::vector<char> bytes(784);
        if (!std::ifstream(argv[1], std::ios::binary).read(bytes.data(), 784)) {
            std::fprintf(stderr, "digit: %s: need 784 bytes\n", argv[1]);
            return 2;
        }
        std::transform(bytes.begin(), bytes.end(), image.begin(),
                       [](char pixel) { return static_cast<unsigned char>(pixel) / 255.0f; });
    }
    lenet5::model model;
    std::array<float, 10> logits{};
    try {
        model(1, image, logits);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "digit: %s\n", error.what());
        return 1;
    }
    for (float value : logits)
        std::printf("%.4f ", static_cast<double>(value));
    std::printf("\ndigit %d\n", static_cast<int>(std::ranges::max_element(logits) - logits.begin()));
    return 0;
}
